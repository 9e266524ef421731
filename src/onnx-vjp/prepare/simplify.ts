import { numbersOf } from "../graph/constant.ts";
import { dataTypeOfProto } from "../graph/data-type.ts";
import {
  type Constant,
  intAttribute,
  ints,
  intsAttribute,
  type Node,
  stringAttribute,
  type TracedGraph,
} from "../graph/ir.ts";
import { capturedNames, withoutDeadNodes } from "../graph/live.ts";

/**
 * The graph without nodes that change nothing and without what is there twice: no-op casts, reshapes and the
 * like go, guards of a softmax without a mask go, chains of reshapes or transposes become one, equal constants and
 * equal nodes are shared. Graph outputs and what bodies read keep their names; other values may go.
 */
export function simplify(graph: TracedGraph): TracedGraph {
  const fixed = new Set([
    ...graph.outputs.map((o) => o.name),
    ...graph.nodes.flatMap((node) => [...capturedNames(node.attributes)]),
  ]);
  const alias = equalConstants(graph.constants, fixed);
  const resolve = (value: string) => alias.get(value) ?? value;
  const producers = new Map<string, Node>();
  const known = new Map<string, Node>();
  const nodes: Node[] = [];
  for (const original of graph.nodes) {
    const node = chained({ ...original, inputs: original.inputs.map(resolve) }, producers);
    const key = keyOf(node);
    const twin = key === undefined ? undefined : known.get(key);
    const guarded = guardedSoftmax(node, producers);
    const instead = guarded ? [guarded] : changesNothing(node, graph) ? [node.inputs[0]] : twin?.outputs;
    const replaced = instead && node.outputs.every((o, i) => o === "" || (!fixed.has(o) && instead[i]));
    if (replaced) {
      for (const [i, o] of node.outputs.entries()) if (o !== "") alias.set(o, instead[i]);
      continue;
    }
    nodes.push(node);
    for (const o of node.outputs) producers.set(o, node);
    if (key !== undefined && twin === undefined) known.set(key, node);
  }
  return withoutDeadNodes({ ...graph, nodes });
}

/** Whether the node's first output is its first input, and nobody can ask for its other outputs. */
function changesNothing(node: Node, { types, constants }: TracedGraph): boolean {
  if (node.domain !== "" || node.outputs.slice(1).some((o) => o !== "")) return false;
  const [x, second = ""] = node.inputs as readonly [string, string?];
  const from = types.get(x);
  const to = types.get(node.outputs[0]);
  if (from === undefined || to === undefined || from.dtype !== to.dtype) return false;
  if (String(from.dims) !== String(to.dims)) return false;
  const every = (input: string, value: number) => {
    const constant = constants.get(input);
    if (constant === undefined) return false;
    // Attention masks that close nothing are large.
    if (value === 0 && constant.bytes.every((byte) => byte === 0)) return true;
    if (constant.bytes.byteLength > 4096) return false;
    return numbersOf(constant).every((v) => v === value);
  };
  switch (node.op) {
    case "Identity":
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
    case "Flatten":
    case "Expand":
    case "Tile":
      return true;
    case "Cast":
      return dataTypeOfProto(intAttribute(node, "to", 0)) === from.dtype;
    case "Concat":
    case "Sum":
    case "Mean":
    case "Min":
    case "Max":
      return node.inputs.length === 1;
    case "Split":
      return node.outputs.length === 1;
    case "Transpose":
      return intsAttribute(node, "perm")?.every((p, i) => p === i) === true;
    case "Slice":
      return (node.inputs[4] ?? "") === "" || every(node.inputs[4], 1);
    case "Pad":
      return every(second, 0);
    case "Resize":
      return stringAttribute(node, "coordinate_transformation_mode", "") !== "tf_crop_and_resize";
    case "Add":
    case "Sub":
      return every(second, 0);
    case "Mul":
    case "Div":
    case "Pow":
      return every(second, 1);
    default:
      return false;
  }
}

/**
 * The softmax that `node` puts zeros into where it is not a number. Exporters write that for rows that a mask closes
 * entirely; scores that are a product alone, with no mask added, have none.
 */
function guardedSoftmax(node: Node, producers: ReadonlyMap<string, Node>): string | undefined {
  const made = (value: string | undefined, op: string): Node | undefined => {
    const producer = producers.get(value ?? "");
    return producer?.op === op && producer.domain === "" ? producer : undefined;
  };
  if (node.op !== "Where" || node.domain !== "") return undefined;
  const [test, , value] = node.inputs;
  const softmax = made(value, "Softmax");
  const guards = made(test, "IsNaN")?.inputs[0] === value && made(softmax?.inputs[0], "MatMul") !== undefined;
  return guards ? value : undefined;
}

/** A reshape of a reshape, or a transpose of a transpose, as one node on the first one's input. */
function chained(node: Node, producers: ReadonlyMap<string, Node>): Node {
  const before = node.domain === "" ? producers.get(node.inputs[0] ?? "") : undefined;
  if (before === undefined || before.op !== node.op || before.domain !== "") return node;
  if (node.op === "Reshape" && node.attributes.allowzero === undefined) {
    return { ...node, inputs: [before.inputs[0], node.inputs[1]] };
  }
  const [first, second] = [intsAttribute(before, "perm"), intsAttribute(node, "perm")];
  if (node.op !== "Transpose" || first === undefined || second === undefined) return node;
  return {
    ...node,
    inputs: [before.inputs[0]],
    attributes: { perm: ints(second.map((p) => first[p])) },
  };
}

/** What equal nodes have in common; undefined where two equal nodes may differ or comparing is dear. */
function keyOf(node: Node): string | undefined {
  if (node.op.startsWith("Random") || node.op === "Bernoulli" || node.op === "Multinomial") return undefined;
  const attributes = Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  if (attributes.some(([, a]) => a.kind === "tensor" || a.kind === "graph")) return undefined;
  return JSON.stringify([node.domain, node.op, node.inputs, node.outputs.length, attributes]);
}

/** The first of each set of equal constants, by the names of the others. */
function equalConstants(
  constants: ReadonlyMap<string, Constant>,
  fixed: ReadonlySet<string>,
): Map<string, string> {
  const buckets = new Map<string, string[]>();
  const alias = new Map<string, string>();
  for (const [name, constant] of constants) {
    const { dtype, dims, bytes } = constant;
    if (dtype === "string") continue;
    const key = `${dtype}[${dims}]${bytes.subarray(0, 64)}`;
    const bucket = buckets.get(key);
    if (bucket === undefined) {
      buckets.set(key, [name]);
      continue;
    }
    const same = bucket.find((other) => sameBytes(constants.get(other)!.bytes, bytes));
    if (same === undefined) bucket.push(name);
    else if (!fixed.has(name)) alias.set(name, same);
  }
  return alias;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i]);
}
