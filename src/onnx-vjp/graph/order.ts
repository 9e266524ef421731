import { ModelError } from "../errors.ts";
import { describeNode, type Node } from "./ir.ts";
import { producersOf } from "./links.ts";
import { capturedNames } from "./live.ts";

/**
 * The nodes such that each comes after those whose values it reads, otherwise in the order given. The format asks
 * for it, every pass here relies on it, and converters to half precision do not keep to it.
 *
 * @param name how the file is called in messages
 * @throws ModelError where nodes read each other's values in a circle
 */
export function inExecutionOrder(nodes: readonly Node[], name: string): Node[] {
  const producers = producersOf(nodes);
  const ordered: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  for (const first of nodes) {
    // Depth first, on an explicit stack: graphs are thousands of nodes deep.
    const stack = [first];
    while (stack.length > 0) {
      const node = stack.at(-1)!;
      if (state.get(node) === "done") {
        stack.pop();
        continue;
      }
      const waiting = [...node.inputs, ...capturedNames(node.attributes)]
        .map((input) => producers.get(input))
        .filter((producer) => producer !== undefined && state.get(producer) !== "done") as Node[];
      if (waiting.length === 0) {
        state.set(node, "done");
        ordered.push(node);
        stack.pop();
      } else if (waiting.some((producer) => state.get(producer) === "open")) {
        throw new ModelError(
          `${name} holds nodes that read each other's values in a circle (${describeNode(node)}). ` +
            "The file is damaged: fetch or export it again.",
        );
      } else {
        state.set(node, "open");
        stack.push(...waiting.reverse());
      }
    }
  }
  return ordered;
}
