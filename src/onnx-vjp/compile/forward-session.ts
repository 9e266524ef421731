import { blockGraph } from "../fit/blocked/block.ts";
import { toHalfPrecision } from "../fit/half-precision.ts";
import type { TracedGraph } from "../graph/ir.ts";
import type { Precision, Runtime, Session } from "../graph/runtime.ts";
import { wideOn } from "./wide-operators.ts";

/** A session of a graph that nothing is kept of: its convolutions blocked where the runtime has that, or in half precision. */
export async function forwardSession(
  runtime: Runtime,
  graph: TracedGraph,
  precision: Precision = "float32",
): Promise<Session> {
  if (precision === "float16") {
    return runtime.session(toHalfPrecision(graph, { wide: wideOn(runtime.device) }).graph);
  }
  const block = (await runtime.convolutionBlock?.()) ?? 1;
  return runtime.session(blockGraph(graph, graph.types, block).graph);
}
