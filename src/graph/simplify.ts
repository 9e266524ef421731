import type { Constant, Graph } from "./ir.ts";

/** The graph without nodes and constants that no output needs. */
export function withoutDeadNodes<G extends Graph>(graph: G): G {
  const needed = new Set(graph.outputs.map((o) => o.name));
  const nodes = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i]!;
    if (!node.outputs.some((o) => needed.has(o))) continue;
    nodes.push(node);
    for (const input of node.inputs) needed.add(input);
    for (const name of capturedNames(node.attributes)) needed.add(name);
  }
  const constants = new Map<string, Constant>();
  for (const [name, constant] of graph.constants) if (needed.has(name)) constants.set(name, constant);
  return { ...graph, nodes: nodes.reverse(), constants };
}

/** Outer values that the bodies of If, Loop and Scan may read. */
function* capturedNames(attributes: Graph["nodes"][number]["attributes"]): Iterable<string> {
  for (const attribute of Object.values(attributes)) {
    if (attribute.kind !== "graph") continue;
    for (const node of attribute.value.nodes) {
      yield* node.inputs;
      yield* capturedNames(node.attributes);
    }
    for (const output of attribute.value.outputs) yield output.name;
  }
}
