import { Tensor } from "onnxruntime-common";
import { expect } from "vitest";
import { emptyGraph, GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../src/onnx-vjp/graph/constant.ts";
import type { Attributes, DataType, Graph } from "../../src/onnx-vjp/graph/ir.ts";
import type { LoweringTable } from "../../src/onnx-vjp/prepare/lower/lowering.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { hasRule } from "../../src/onnx-vjp/vjp/derive.ts";
import { type Array64, relativeError } from "./check-rule.ts";

export interface LoweringCase {
  readonly op: string;
  readonly opset: number;
  readonly attributes?: Attributes;
  /** In order; "" marks an absent optional input. Those that are `constant` are constants of the graph. */
  readonly inputs: readonly ("" | (Array64 & { readonly dtype?: DataType; readonly constant?: boolean }))[];
  /** The op in double, where ONNX Runtime does not run it as specified. */
  readonly reference?: (inputs: readonly Array64[]) => Array64;
  /** Largest relative error (default 1e-5). */
  readonly tolerance?: number;
}

/** Operators whose results are booleans: no cotangent flows through them. */
const comparisons = new Set(["Greater", "Less", "Equal", "And", "Or", "Not"]);

const runtime = nodeRuntime({ threads: 1 });

/**
 * Holds a lowering against ONNX Runtime's own operator (or a reference): the nodes it writes must compute
 * the same, and each must have a pullback rule.
 */
export async function checkLowering(table: LoweringTable, c: LoweringCase): Promise<void> {
  const b = new GraphBuilder({ ...emptyGraph(), opset: c.opset });
  const feeds: Record<string, Tensor> = {};
  const names = c.inputs.map((input, i) => {
    if (input === "") return "";
    const dtype = input.dtype ?? "float32";
    if (input.constant) return b.constant(constantOf(dtype, input.dims, input.data));
    feeds[`x${i}`] = tensorOf(input, dtype);
    return b.input(`x${i}`, input.dims, dtype);
  });
  const y = b.op(c.op, names, c.attributes);
  const node = b.graph.nodes[0];

  const lowered = new GraphBuilder({
    ...emptyGraph(),
    inputs: b.graph.inputs,
    constants: new Map(b.graph.constants),
  });
  const replaced = table[c.op]({
    node,
    b: lowered,
    opset: c.opset,
    type(value) {
      const input = c.inputs[names.indexOf(value)];
      if (input === undefined || input === "") throw new Error(`${c.op} asked for the type of "${value}"`);
      return { dtype: input.dtype ?? "float32", dims: input.dims };
    },
    constant: (value) => b.graph.constants.get(value),
  });
  expect(replaced, `${c.op} was lowered`).toHaveLength(node.outputs.length);
  expect(
    lowered.graph.nodes
      .map((n) => n.op)
      .filter((op, i) => !comparisons.has(op) && !hasRule(lowered.graph.nodes[i])),
    `${c.op} became nodes with rules`,
  ).toEqual([]);

  const run = async (graph: Graph, name: string): Promise<Tensor> => {
    const session = await runtime.session({
      ...graph,
      outputs: [{ name, dtype: c.inputs[0] === "" ? "float32" : (c.inputs[0].dtype ?? "float32"), dims: [] }],
    });
    const read = Object.entries(feeds).filter(([input]) => session.graph.inputs.includes(input));
    const result = (await session.run(Object.fromEntries(read)))[name];
    await session.release();
    return result;
  };
  const actual = await run(lowered.graph, replaced![0]!);
  const expected = c.reference
    ? c.reference(c.inputs.filter((input) => input !== ""))
    : await run(b.graph, y).then((t) => ({ dims: t.dims, data: Float64Array.from(t.data as Float32Array) }));
  expect([...actual.dims], `${c.op}: shape`).toEqual([...expected.dims]);
  const numbers = Float64Array.from(actual.data as Float32Array, Number);
  expect(relativeError(numbers, expected.data), `${c.op}: values`).toBeLessThan(c.tolerance ?? 1e-5);
}

function tensorOf(x: Array64, dtype: DataType): Tensor {
  const dims = [...x.dims];
  if (dtype === "bool") return new Tensor("bool", Uint8Array.from(x.data), dims);
  if (dtype === "int64") return new Tensor("int64", BigInt64Array.from(Array.from(x.data, BigInt)), dims);
  return new Tensor("float32", Float32Array.from(x.data), dims);
}
