import type { Node, TensorType } from "../graph/ir.ts";

/** Nodes of a derived graph, those before any cotangent is known apart from the others. */
export interface Hoisted {
  readonly forward: Node[];
  readonly pullback: Node[];
  /** The traced types, and those of the values that were hoisted. */
  readonly types: Map<string, TensorType>;
}

/**
 * Counts the pullback's masks and maxima's positions to the forward wherever no cotangent is needed for them.
 * A mask takes a byte where the activation that it is read from takes four, so it is what the forward then keeps.
 *
 * @param forward the traced graph's own nodes
 * @param pullback nodes that the rules wrote, in execution order
 * @param types of all values that the forward makes, its inputs and every constant
 */
export function hoist(
  forward: readonly Node[],
  pullback: readonly Node[],
  types: ReadonlyMap<string, TensorType>,
): Hoisted {
  const known = new Map(types);
  const early: Node[] = [];
  const late: Node[] = [];
  for (const node of pullback) {
    const inputs = node.inputs.map((input) => known.get(input));
    const outputs = node.domain === "" && inputs.every((t) => t !== undefined) ? typesOf(node, inputs) : [];
    if (outputs.length === 0) {
      late.push(node);
      continue;
    }
    early.push(node);
    for (const [i, type] of outputs.entries()) known.set(node.outputs[i]!, type);
  }
  return { forward: [...forward, ...early], pullback: late, types: known };
}

/** Types of the outputs of the operators that are worth hoisting; none for the others. */
function typesOf(node: Node, inputs: readonly TensorType[]): TensorType[] {
  switch (node.op) {
    case "Greater":
    case "Less":
    case "Equal":
    case "And":
      return [{ dtype: "bool", dims: broadcast(inputs.map((t) => t.dims)) }];
    default:
      return [];
  }
}

/** NumPy's result shape of broadcasting. */
function broadcast(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((dims) => dims.length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((dims) => dims[i - rank + dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}
