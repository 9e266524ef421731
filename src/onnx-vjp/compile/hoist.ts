import { broadcast, elementwiseType } from "../graph/elementwise-type.ts";
import type { Node, TensorType } from "../graph/ir.ts";
import { cheapElementwise } from "./cheap.ts";

/** Nodes of a derived graph, those before any cotangent is known apart from the others. */
export interface Hoisted {
  readonly forward: Node[];
  readonly pullback: Node[];
  /** The traced types, and those of the values that were hoisted. */
  readonly types: Map<string, TensorType>;
}

/**
 * Counts what the rules compute from forward values alone (masks, slopes of activations) to the forward. What is
 * smallest can then be kept: a mask takes a byte where the activation that it is read from takes four. Only cheap
 * element-wise operators are moved, which the pullback may repeat, so that never more is kept than before.
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
    const type = inputs.every((t) => t !== undefined) ? typeOf(node, inputs) : undefined;
    if (type === undefined) {
      late.push(node);
      continue;
    }
    early.push(node);
    known.set(node.outputs[0], type);
  }
  return { forward: [...forward, ...early], pullback: late, types: known };
}

/** The type of a cheap element-wise operator's output; undefined for the others. */
function typeOf(node: Node, inputs: readonly TensorType[]): TensorType | undefined {
  const like = inputs.at(-1);
  if (node.domain !== "" || !cheapElementwise.has(node.op) || like === undefined) return undefined;
  const dtype = elementwiseType(node, like.dtype);
  return dtype && { dtype, dims: broadcast(inputs.map((t) => t.dims)) };
}
