import type { Graph } from "../../src/graph/ir.ts";
import { inferredTypes } from "../../src/graph/measure.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

const runtime = nodeRuntime({ threads: 1 });

/**
 * The CPU, where every float16 value is rounded as it is on a card. Otherwise ONNX Runtime computes float16 in float32
 * there and leaves out the casts between operators, so that nothing is ever too small or too large.
 */
export const roundingRuntime: Runtime = {
  ...runtime,
  session: (graph, options) => runtime.session(graph, { ...options, optimize: "off" }),
};

/** The element types of a graph's values as ONNX Runtime infers them; it refuses a graph whose types do not fit. */
export async function elementTypes(graph: Graph): Promise<(value: string) => string | undefined> {
  const made = graph.nodes.flatMap((node) => node.outputs.filter((output) => output !== ""));
  const inferred = await inferredTypes(runtime, graph, made);
  const inputs = new Map(graph.inputs.map((input) => [input.name, input]));
  return (value) => (inferred.get(value) ?? inputs.get(value) ?? graph.constants.get(value))?.dtype;
}
