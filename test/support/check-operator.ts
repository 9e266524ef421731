import { Tensor } from "onnxruntime-common";
import { expect } from "vitest";
import { emptyGraph, GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { constantOf, numbersOf } from "../../src/onnx-vjp/graph/constant.ts";
import { protoOfDataType } from "../../src/onnx-vjp/graph/data-type.ts";
import {
  type Attributes,
  type DataType,
  type Graph,
  int,
  intAttribute,
  type TracedGraph,
} from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import { prepareGraph } from "../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../src/onnx-vjp/vjp/derive.ts";
import { type Array64, array64, randomNumbers, relativeError } from "./check-rule.ts";

export interface OperatorCase {
  readonly op: string;
  readonly opset: number;
  readonly attributes?: Attributes;
  /** In order; `variable` ones are differentiated, the others are constants. "" marks an absent optional input. */
  readonly inputs: readonly ("" | (Array64 & { readonly variable?: boolean; readonly dtype?: DataType }))[];
  /** How many outputs the node has (default 1), and which are differentiated (default: the first alone). */
  readonly outputs?: number;
  readonly of?: readonly number[];
  /** Largest relative error of the forward (default 1e-5), and of the gradient (default 1e-4). */
  readonly forward?: number;
  readonly tolerance?: number;
}

const runtime = nodeRuntime({ threads: 1 });

/**
 * Holds an operator that is lowered to others against ONNX Runtime's own: the prepared graph must give what ONNX Runtime
 * gives, and its gradient must be the central differences of the prepared graph in double.
 */
export async function checkOperator(c: OperatorCase): Promise<void> {
  const b = new GraphBuilder({ ...emptyGraph(), opset: c.opset });
  const names = c.inputs.map((input, i) => {
    if (input === "") return "";
    const dtype = input.dtype ?? "float32";
    if (!input.variable) return b.constant(constantOf(dtype, input.dims, input.data));
    return b.input(`x${i}`, input.dims, dtype);
  });
  const made = b.ops(c.op, names, c.outputs ?? 1, c.attributes);
  const of = (c.of ?? [0]).map((k) => made[k]);
  for (const name of of) b.output(name, { dims: [] });
  await checkGraph(b.graph, Object.fromEntries(variablesOf(c, names)), c);
}

function variablesOf(c: OperatorCase, names: readonly string[]): [string, Array64][] {
  return c.inputs.flatMap((input, i) =>
    input !== "" && input.variable ? [[names[i], input] as [string, Array64]] : [],
  );
}

/** `checkOperator` of a whole graph and values of its inputs. */
export async function checkGraph(
  graph: Graph,
  inputs: Readonly<Record<string, Array64>>,
  { forward = 1e-5, tolerance = 1e-4 }: Pick<OperatorCase, "forward" | "tolerance"> = {},
): Promise<void> {
  const of = graph.outputs.map(({ name }) => name);
  const own = await run(graph, inputs, of, "float32", "off");
  const dims = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, x.dims]));
  const prepared = await prepareGraph(runtime, graph, dims);
  const values = await run(prepared, inputs, of, "float32", "off");
  for (const [k, name] of of.entries()) {
    expect(values[k].dims, `${name}: shape`).toEqual(own[k].dims);
    expect(relativeError(values[k].data, own[k].data), `${name}: forward`).toBeLessThan(forward);
  }
  const random = randomNumbers(7);
  const cotangents = values.map((y) =>
    array64(
      y.dims,
      Float64Array.from(y.data, () => Math.fround(random())),
    ),
  );
  const wrt = Object.keys(inputs);
  const derived = derive(prepared, wrt, of);
  const joint = withoutDeadNodes({
    ...derived.graph,
    outputs: derived.gradients.map((name) => ({ name, dtype: "float32" as const, dims: [] })),
  });
  const given = {
    ...inputs,
    ...Object.fromEntries(derived.cotangents.map((name, k) => [name, cotangents[k]])),
  };
  const gradients = await run(joint, given, derived.gradients, "float32");

  const session = await runtime.session(inDouble(prepared), { optimize: "off" });
  const objective = async (): Promise<number> => {
    const feeds = feedsOf(session.graph.inputs, inputs, "float64");
    const results = await session.run(feeds);
    return of.reduce((sum, name, k) => {
      const y = results[name].data as Float64Array;
      return sum + y.reduce((total, value, i) => total + value * cotangents[k].data[i], 0);
    }, 0);
  };
  const step = 1e-5;
  for (const [k, name] of wrt.entries()) {
    const { data, dims: shape } = inputs[name];
    const expected = new Float64Array(data.length);
    for (let e = 0; e < data.length; e++) {
      const value = data[e];
      data[e] = value + step;
      const above = await objective();
      data[e] = value - step;
      expected[e] = (above - (await objective())) / (2 * step);
      data[e] = value;
    }
    expect(gradients[k].dims, `${name}: gradient shape`).toEqual([...shape]);
    expect(relativeError(gradients[k].data, expected), `${name}: gradient`).toBeLessThan(tolerance);
  }
  await session.release();
}

async function run(
  graph: Graph,
  inputs: Readonly<Record<string, Array64>>,
  names: readonly string[],
  dtype: "float32" | "float64",
  optimize: "on" | "off" = "on",
): Promise<Array64[]> {
  const session = await runtime.session(graph, { optimize });
  const results = await session.run(feedsOf(session.graph.inputs, inputs, dtype));
  await session.release();
  return names.map((name) => ({
    dims: [...results[name].dims],
    data: Float64Array.from(results[name].data as Float32Array),
  }));
}

function feedsOf(
  names: readonly string[],
  inputs: Readonly<Record<string, Array64>>,
  dtype: "float32" | "float64",
) {
  return Object.fromEntries(
    names.map((name) => {
      const { data, dims } = inputs[name];
      const values = dtype === "float64" ? Float64Array.from(data) : Float32Array.from(data);
      return [name, new Tensor(dtype as "float32", values as Float32Array, [...dims])] as const;
    }),
  );
}

/** A graph of float32 in double: its constants, its casts, and what its inputs and outputs declare. */
function inDouble(graph: TracedGraph): Graph {
  const wide = <T extends { readonly dtype: DataType }>(info: T): T =>
    info.dtype === "float32" ? { ...info, dtype: "float64" } : info;
  return {
    ...graph,
    inputs: graph.inputs.map(wide),
    outputs: graph.outputs.map((output) => ({ ...output, dtype: "float64", dims: [] })),
    constants: new Map(
      [...graph.constants].map(([name, constant]) => [
        name,
        constant.dtype === "float32" ? constantOf("float64", constant.dims, numbersOf(constant)) : constant,
      ]),
    ),
    nodes: graph.nodes.map((node) =>
      node.op === "Cast" && intAttribute(node, "to", 0) === protoOfDataType("float32")
        ? { ...node, attributes: { to: int(protoOfDataType("float64")) } }
        : node,
    ),
  };
}
