import type { Graph, Node } from "./ir.ts";
import { capturedNames } from "./live.ts";

/** Who makes each value and who reads it: what pattern passes walk along. */
export interface Links {
  /** The node that makes `value`, or undefined for inputs and constants. */
  producer(value: string): Node | undefined;
  /** The nodes that read `value`, in their bodies too, or undefined where it leaves the graph. */
  onlyReaders(value: string): readonly Node[] | undefined;
  /** The one node that reads `value`, or undefined where there are several, none, or it leaves the graph. */
  onlyReader(value: string): Node | undefined;
}

/** The node that makes each value. */
export function producersOf(nodes: readonly Node[]): Map<string, Node> {
  const producers = new Map<string, Node>();
  for (const node of nodes) for (const output of node.outputs) if (output !== "") producers.set(output, node);
  return producers;
}

/** The links of `graph` as it is now. */
export function linksOf(graph: Graph): Links {
  const producers = producersOf(graph.nodes);
  const readers = new Map<string, Node[]>();
  const leaving = new Set(graph.outputs.map((o) => o.name));
  for (const node of graph.nodes) {
    for (const input of new Set([...node.inputs, ...capturedNames(node.attributes)])) {
      const known = readers.get(input);
      if (known) known.push(node);
      else readers.set(input, [node]);
    }
  }
  const onlyReaders = (value: string) => (leaving.has(value) ? undefined : (readers.get(value) ?? []));
  return {
    producer: (value) => producers.get(value),
    onlyReaders,
    onlyReader(value) {
      const all = onlyReaders(value);
      return all?.length === 1 ? all[0] : undefined;
    },
  };
}
