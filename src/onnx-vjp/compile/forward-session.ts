import { blockGraph } from "../fit/blocked/block.ts";
import { toHalfPrecision } from "../fit/half-precision.ts";
import type { Graph, TracedGraph } from "../graph/ir.ts";
import type { Precision, Runtime, Session } from "../graph/runtime.ts";
import { wideOn } from "./wide-operators.ts";

/** A graph that nothing is kept of, as it is run: its convolutions blocked where the runtime has that, or in half precision. */
export async function forwardGraph(
  runtime: Runtime,
  graph: TracedGraph,
  precision: Precision = "float32",
): Promise<Graph> {
  if (precision === "float16") return toHalfPrecision(graph, { wide: wideOn(runtime.device) }).graph;
  const block = (await runtime.convolutionBlock?.()) ?? 1;
  return blockGraph(graph, graph.types, block).graph;
}

/** A session of such a graph. */
export async function forwardSession(
  runtime: Runtime,
  graph: TracedGraph,
  precision: Precision = "float32",
): Promise<Session> {
  return runtime.session(await forwardGraph(runtime, graph, precision));
}
