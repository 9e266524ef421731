import type { Attributes, Constant, Graph } from "./ir.ts";

/** The graph without nodes and constants that no output needs. */
export function withoutDeadNodes<G extends Graph>(graph: G): G {
  const needed = new Set(graph.outputs.map((o) => o.name));
  const nodes = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((o) => needed.has(o))) continue;
    nodes.push(node);
    for (const input of node.inputs) needed.add(input);
    for (const name of capturedNames(node.attributes)) needed.add(name);
  }
  const constants = new Map<string, Constant>();
  for (const [name, constant] of graph.constants) if (needed.has(name)) constants.set(name, constant);
  return { ...graph, nodes: nodes.reverse(), constants };
}

/** The graph without inputs that no node reads (a linear function's pullback reads none of the forward's). */
export function withoutUnreadInputs<G extends Graph>(graph: G): G {
  const read = new Set(graph.nodes.flatMap((node) => [...node.inputs, ...capturedNames(node.attributes)]));
  return { ...graph, inputs: graph.inputs.filter((input) => read.has(input.name)) };
}

/** Values from outside that the bodies of If, Loop and Scan read. */
export function* capturedNames(attributes: Attributes): Iterable<string> {
  for (const attribute of Object.values(attributes)) {
    if (attribute.kind !== "graph") continue;
    const body = attribute.value;
    const own = new Set([
      ...body.inputs.map((i) => i.name),
      ...body.constants.keys(),
      ...body.nodes.flatMap((n) => n.outputs),
    ]);
    for (const node of body.nodes) {
      for (const name of [...node.inputs, ...capturedNames(node.attributes)]) if (!own.has(name)) yield name;
    }
    for (const output of body.outputs) if (!own.has(output.name)) yield output.name;
  }
}
