import type { Runtime } from "../runtime/runtime.ts";
import type { Graph, TracedGraph } from "./ir.ts";
import { trace } from "./trace.ts";

/** A graph as it was read, made ready for the reverse sweep: static shapes and the forms that rules know. */
export async function prepareGraph(
  runtime: Runtime,
  graph: Graph,
  inputs: Readonly<Record<string, readonly number[]>>,
): Promise<TracedGraph> {
  return trace(runtime, graph, inputs);
}
