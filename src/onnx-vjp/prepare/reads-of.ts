import type { Node } from "../graph/ir.ts";
import { capturedNames } from "../graph/live.ts";

/** What a node reads: its inputs and, where it holds bodies, what these take from outside. */
export function readsOf(node: Node): string[] {
  return [...node.inputs, ...capturedNames(node.attributes)];
}
