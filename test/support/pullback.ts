import { Tensor } from "onnxruntime-common";
import type { DataType, Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import { trace } from "../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { derive } from "../../src/onnx-vjp/vjp/derive.ts";
import type { Array64 } from "./check-rule.ts";

const arrays = { float32: Float32Array, float64: Float64Array } as const;

/** A tensor of an array's numbers. */
export function tensorOf(x: Array64, dtype: DataType = "float32"): Tensor {
  if (dtype === "int64") return new Tensor("int64", BigInt64Array.from(x.data, BigInt), [...x.dims]);
  const TypedArray = arrays[dtype as "float32"];
  return new Tensor(dtype as "float32", TypedArray.from(x.data) as Float32Array, [...x.dims]);
}

/**
 * The gradients of Σ ⟨cotangent, output⟩ over all outputs of a graph, with respect to the inputs `wrt`; for
 * whole graphs, where `checkRule` holds one operator.
 */
export async function pullbackOf(
  graph: Graph,
  inputs: Readonly<Record<string, Array64>>,
  wrt: readonly string[],
  cotangents: readonly Array64[],
): Promise<{ gradients: number[][]; ops: string[] }> {
  const runtime = nodeRuntime({ threads: 1 });
  const dims = Object.fromEntries(graph.inputs.map(({ name }) => [name, inputs[name].dims]));
  const traced = await trace(runtime, graph, dims);
  const of = graph.outputs.map((o) => o.name);
  const derived = derive(traced, wrt, of);
  const outputs = derived.gradients.map((name, i) => ({ name, ...traced.types.get(wrt[i])! }));
  const joint = withoutDeadNodes({ ...derived.graph, outputs });
  const feeds = Object.fromEntries([
    ...graph.inputs.map(({ name, dtype }) => [name, tensorOf(inputs[name], dtype)] as const),
    ...derived.cotangents.map(
      (name, k) => [name, tensorOf(cotangents[k], traced.types.get(of[k])!.dtype)] as const,
    ),
  ]);
  const session = await runtime.session(joint);
  const results = await session.run(
    Object.fromEntries(Object.entries(feeds).filter(([name]) => session.graph.inputs.includes(name))),
  );
  await session.release();
  return {
    gradients: derived.gradients.map((name) => Array.from(results[name].data as Float32Array)),
    ops: joint.nodes.map((node) => node.op),
  };
}
