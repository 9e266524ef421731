import { Tensor } from "onnxruntime-common";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import type { Array64 } from "./check-rule.ts";

const runtime = nodeRuntime({ threads: 1 });

/** Runs a graph of float32 inputs as it is written (ONNX Runtime fuses nothing) and returns its outputs. */
export async function runGraph(graph: Graph, inputs: Readonly<Record<string, Array64>>): Promise<Array64[]> {
  const session = await runtime.session(graph, { optimize: "off" });
  const feeds = Object.entries(inputs).filter(([name]) => session.graph.inputs.includes(name));
  const results = await session.run(
    Object.fromEntries(
      feeds.map(([name, x]) => [name, new Tensor("float32", Float32Array.from(x.data), [...x.dims])]),
    ),
  );
  await session.release();
  return graph.outputs.map(({ name }) => {
    const { dims, data } = results[name];
    return { dims, data: Float64Array.from(data as Float32Array) };
  });
}
