import { constantOf, numbersOf } from "../graph/constant.ts";
import { fromFront, int, intAttribute, type Node, standardNode, type TracedGraph } from "../graph/ir.ts";

/** A node that takes every `step`-th element of one axis of a value, from `start` on. */
interface Part {
  readonly node: Node;
  readonly axis: number;
  readonly step: number;
  readonly start: number;
  readonly count: number;
}

/**
 * Puts one Split in place of the slices and scalar gathers that take a value apart along one axis: queries, keys
 * and values, the two halves of a roll, even and odd elements. Its pullback is one Concat, where that of the
 * parts pads each of them to the whole and adds.
 */
export function splitSlices(graph: TracedGraph): TracedGraph {
  const parts = new Map<string, Part[]>();
  for (const node of graph.nodes) {
    const part = partOf(node, graph);
    if (part === undefined) continue;
    const key = JSON.stringify([node.inputs[0], part.axis, part.step]);
    const known = parts.get(key);
    if (known) known.push(part);
    else parts.set(key, [part]);
  }
  // The nodes that stand in for a group stand where its first node stood.
  const instead = new Map<Node, readonly Node[]>();
  const constants = new Map(graph.constants);
  const types = new Map(graph.types);
  for (const group of parts.values()) {
    group.sort((a, b) => a.start - b.start);
    const whole = graph.types.get(group[0].node.inputs[0])!.dims[group[0]!.axis];
    if (group.length < 2 || !tiles(group, whole)) continue;
    const nodes = splitOf(group, { ...graph, constants, types });
    const first = graph.nodes.find((node) => group.some((part) => part.node === node))!;
    for (const { node } of group) instead.set(node, node === first ? nodes : []);
  }
  if (instead.size === 0) return graph;
  return { ...graph, nodes: graph.nodes.flatMap((node) => instead.get(node) ?? node), constants, types };
}

/** What a Slice along one axis, or a Gather of one element, takes. */
function partOf(node: Node, { types, constants }: TracedGraph): Part | undefined {
  if (node.domain !== "" || (node.op !== "Slice" && node.op !== "Gather")) return undefined;
  const dims = types.get(node.inputs[0])?.dims;
  const out = types.get(node.outputs[0])?.dims;
  if (dims === undefined || out === undefined) return undefined;
  const given = node.inputs.slice(1).map((input) => (input === "" ? undefined : constants.get(input)));
  const numbers = given.map((constant) => (constant ? Array.from(numbersOf(constant)) : undefined));
  if (node.op === "Gather") {
    if (numbers[0]?.length !== 1) return undefined;
    const axis = fromFront(intAttribute(node, "axis", 0), dims.length);
    return { node, axis, step: 1, start: fromFront(numbers[0][0], dims[axis]), count: 1 };
  }
  const [starts, ends, axes = starts?.map((_, i) => i), steps] = numbers;
  if (starts?.length !== 1 || ends === undefined || axes === undefined) return undefined;
  if (node.inputs.slice(1).some((input, i) => input !== "" && given[i] === undefined)) return undefined;
  const axis = fromFront(axes[0], dims.length);
  const step = steps?.[0] ?? 1;
  if (step < 1) return undefined;
  const start = Math.min(Math.max(fromFront(starts[0], dims[axis]), 0), dims[axis]);
  return { node, axis, step, start, count: out[axis] };
}

/** Whether parts, in the order of their starts, hold every element of the axis once. */
function tiles(group: readonly Part[], whole: number): boolean {
  const step = group[0].step;
  if (group.some(({ count }) => count === 0)) return false;
  if (step > 1) {
    return (
      group.length === step && group.every(({ start, count }, i) => start === i && count * step === whole)
    );
  }
  let end = 0;
  for (const { start, count } of group) {
    if (start !== end) return false;
    end += count;
  }
  return end === whole;
}

/** The Split, with a Reshape before it that separates every step-th element, and behind it where axes go. */
function splitOf(group: readonly Part[], { types, constants }: TracedGraph): Node[] {
  const { node, axis, step } = group[0];
  const nodes: Node[] = [];
  const x = node.inputs[0];
  const { dtype, dims } = types.get(x)!;
  const named = (name: string, shape: readonly number[]): string => {
    types.set(name, { dtype, dims: shape });
    return name;
  };
  const ints = (name: string, values: readonly number[]): string => {
    const constant = constantOf("int64", [values.length], values);
    constants.set(name, constant);
    types.set(name, constant);
    return name;
  };
  const reshape = (input: string, output: string, shape: readonly number[]): string => {
    const inputs = [input, ints(`${output}/shape`, shape)];
    nodes.push(standardNode("Reshape", inputs, output));
    return output;
  };

  const prefix = `${node.outputs[0]}/split`;
  const apart = [...dims.slice(0, axis), dims[axis] / step, step, ...dims.slice(axis + 1)];
  const source = step === 1 ? x : reshape(x, named(`${prefix}/apart`, apart), apart);
  const along = step === 1 ? axis : axis + 1;
  const shape = types.get(source)!.dims;
  const sizes = group.map(({ count }) => (step === 1 ? count : 1));
  const pieces = group.map((part, i) => {
    const piece = shape.map((d, k) => (k === along ? sizes[i] : d));
    const output = part.node.outputs[0];
    const same = String(types.get(output)!.dims) === String(piece);
    return { output, piece, name: same ? output : named(`${prefix}/${i}`, piece) };
  });
  nodes.push(
    standardNode(
      "Split",
      [source, ints(`${prefix}/sizes`, sizes)],
      pieces.map((p) => p.name),
      { axis: int(along) },
      prefix,
    ),
  );
  for (const { output, name } of pieces) if (name !== output) reshape(name, output, types.get(output)!.dims);
  return nodes;
}
