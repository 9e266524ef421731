import { numbersOf } from "../../graph/constant.ts";
import {
  type Constant,
  floatAttribute,
  type Graph,
  intAttribute,
  type Node,
  sizeOf,
} from "../../graph/ir.ts";
import type { Links } from "../../graph/links.ts";

/** An activation that a blocked convolution applies to its own output. */
export interface Activation {
  readonly node: Node;
  readonly name: string;
  readonly parameters: readonly number[];
}

/** The activation `node` is, as an attribute of the convolution before it, or undefined. */
export function activationOf(node: Node, constants: ReadonlyMap<string, Constant>): Activation | undefined {
  if (node.domain !== "") return undefined;
  const name = node.op;
  switch (node.op) {
    case "Relu":
    case "Sigmoid":
    case "Tanh":
      return { node, name, parameters: [] };
    case "LeakyRelu":
      return { node, name, parameters: [floatAttribute(node, "alpha", 0.01)] };
    case "HardSigmoid":
      return {
        node,
        name,
        parameters: [floatAttribute(node, "alpha", 0.2), floatAttribute(node, "beta", 0.5)],
      };
    case "Clip": {
      const [low, high] = [1, 2].map((at) => constants.get(node.inputs[at] ?? ""));
      if (!low || !high || sizeOf(low.dims) !== 1 || sizeOf(high.dims) !== 1) return undefined;
      return { node, name, parameters: [numbersOf(low)[0], numbersOf(high)[0]] };
    }
    default:
      return undefined;
  }
}

/** Images interleaved along axis 2 or 3: element t of part f goes to t·parts + f. */
export interface Interleaving {
  readonly axis: number;
  readonly parts: readonly string[];
  /** The nodes before the last one, which nothing else reads. */
  readonly inner: readonly Node[];
}

/** Every Unsqueeze → Concat → Reshape that interleaves images, by the name of its output. */
export function interleavings(graph: Graph, links: Links): Map<string, Interleaving> {
  const found = new Map<string, Interleaving>();
  for (const node of graph.nodes) {
    const concat = node.op === "Reshape" ? links.producer(node.inputs[0]) : undefined;
    if (concat?.op !== "Concat" || links.onlyReader(concat.outputs[0]) !== node) continue;
    const inserted = intAttribute(concat, "axis", 0);
    if (inserted !== 3 && inserted !== 4) continue;
    const apart = concat.inputs.map((input) => links.producer(input));
    const parts = apart.flatMap((each) => {
      const axes = graph.constants.get(each?.inputs[1] ?? "");
      const own = each?.op === "Unsqueeze" && links.onlyReader(each.outputs[0]) === concat;
      return own && axes && String(numbersOf(axes)) === String(inserted) ? [each.inputs[0]] : [];
    });
    if (parts.length !== apart.length) continue;
    found.set(node.outputs[0], {
      axis: inserted - 1,
      parts,
      inner: [...new Set(apart.flatMap((each) => each ?? [])), concat],
    });
  }
  return found;
}
