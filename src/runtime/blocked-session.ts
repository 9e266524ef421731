import { blockGraph } from "../graph/blocked/block.ts";
import type { TracedGraph } from "../graph/ir.ts";
import type { Runtime, Session } from "./runtime.ts";

/** A session of a graph whose convolutions are blocked, where the runtime has that. */
export async function blockedSession(runtime: Runtime, graph: TracedGraph): Promise<Session> {
  const block = (await runtime.convolutionBlock?.()) ?? 1;
  return runtime.session(blockGraph(graph, graph.types, block).graph);
}
