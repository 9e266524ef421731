import { numbersOf } from "../graph/constant.ts";
import type { Attributes, Constant, Graph, Node } from "../graph/ir.ts";

/**
 * Puts the branch that is taken in the place of every If whose condition is known (exporters write squeeze()
 * and shape checks as If). Returns the graph itself where there is none.
 *
 * @param constants what is known about values beyond the graph's own constants: those of a traced copy
 */
export function inlineBranches(graph: Graph, constants: ReadonlyMap<string, Constant>): Graph {
  const nodes: Node[] = [];
  const own = new Map(graph.constants);
  let changed = false;
  for (const node of graph.nodes) {
    const condition = node.op === "If" && node.domain === "" ? constants.get(node.inputs[0]!) : undefined;
    const taken = condition && (numbersOf(condition)[0] === 0 ? "else_branch" : "then_branch");
    const branch = taken ? node.attributes[taken] : undefined;
    if (branch?.kind !== "graph") {
      nodes.push(node);
      continue;
    }
    changed = true;
    const body = branch.value;
    // Both branches may use the same names; the If's first output tells its values apart from all others.
    const made = new Set([...body.constants.keys(), ...body.nodes.flatMap((n) => n.outputs)]);
    const inner = (value: string) =>
      value !== "" && made.has(value) ? `${node.outputs[0]}/${value}` : value;
    for (const [name, constant] of body.constants) own.set(inner(name), constant);
    for (const n of body.nodes) nodes.push(renamed(n, inner));
    for (const [i, output] of node.outputs.entries()) {
      if (output === "") continue;
      const input = inner(body.outputs[i]!.name);
      nodes.push({
        op: "Identity",
        domain: "",
        name: output,
        inputs: [input],
        outputs: [output],
        attributes: {},
      });
    }
  }
  return changed ? { ...graph, nodes, constants: own } : graph;
}

/** A node, and the bodies inside it, with other names for its values. */
function renamed(node: Node, name: (value: string) => string): Node {
  return {
    ...node,
    inputs: node.inputs.map(name),
    outputs: node.outputs.map(name),
    attributes: renamedCaptures(node.attributes, name),
  };
}

function renamedCaptures(attributes: Attributes, name: (value: string) => string): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, attribute]) => {
      if (attribute.kind !== "graph") return [key, attribute];
      const body = attribute.value;
      const shadowed = new Set([
        ...body.inputs.map((i) => i.name),
        ...body.constants.keys(),
        ...body.nodes.flatMap((n) => n.outputs),
      ]);
      const outer = (value: string) => (shadowed.has(value) ? value : name(value));
      const value = {
        ...body,
        nodes: body.nodes.map((n) => renamed(n, outer)),
        outputs: body.outputs.map((o) => ({ ...o, name: outer(o.name) })),
      };
      return [key, { kind: "graph", value }];
    }),
  );
}
