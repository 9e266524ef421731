import type { Attributes, Constant, Graph, Node } from "../graph/ir.ts";

/** A body's nodes and constants where its values have names of the graph around it. */
export interface InlinedBody {
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<string, Constant>;
  /** What the body's outputs are called. */
  readonly outputs: readonly string[];
}

/**
 * The body of an If, Loop or Scan with names that no other value has.
 * @param inputs the values that the body's inputs stand for, in order
 */
export function inlineBody(body: Graph, prefix: string, inputs: readonly string[] = []): InlinedBody {
  const bound = new Map(body.inputs.map(({ name }, i) => [name, inputs[i]] as const));
  const made = new Set([...body.constants.keys(), ...body.nodes.flatMap((n) => n.outputs)]);
  const inner = (value: string) =>
    bound.get(value) ?? (value !== "" && made.has(value) ? `${prefix}/${value}` : value);
  return {
    // ONNX Runtime wants the names of nodes, too, to differ.
    nodes: body.nodes.map((node) => ({
      ...renamed(node, inner),
      name: node.name === "" ? "" : `${prefix}/${node.name}`,
    })),
    constants: new Map([...body.constants].map(([name, constant]) => [inner(name), constant])),
    outputs: body.outputs.map(({ name }) => inner(name)),
  };
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
