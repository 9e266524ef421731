import { constantOf, numbersOf } from "../graph/constant.ts";
import {
  float,
  fromFront,
  int,
  intAttribute,
  intsAttribute,
  type Node,
  sizeOf,
  standardNode,
  type TracedGraph,
} from "../graph/ir.ts";
import { type Links, linksOf } from "../graph/links.ts";
import { withoutDeadNodes } from "../graph/live.ts";

/**
 * Puts one LayerNormalization in place of the chains that exporters write for it,
 * (x − mean)/√(mean((x − mean)²) + ε)·scale + bias over trailing axes, with or without scale and bias.
 * One pass over memory instead of seven, and its statistics serve the pullback.
 */
export function fuseLayerNormalization(graph: TracedGraph): TracedGraph {
  const links = linksOf(graph);
  const constants = new Map(graph.constants);
  const types = new Map(graph.types);
  const fused = new Map<Node, Node>();
  for (const node of graph.nodes) {
    const match = matchNormalized(graph, links, node);
    if (match === undefined) continue;
    const { dims, dtype } = graph.types.get(match.x)!;
    const normalized = dims.slice(match.axis);
    const parameter = (value: string): readonly number[] | undefined =>
      trailing(graph, value, normalized, dims.length);
    let last = node;
    let scale: readonly number[] | undefined;
    let bias: readonly number[] | undefined;
    for (const op of ["Mul", "Add"]) {
      const value = last.outputs[0];
      const reader = links.onlyReader(value);
      if (reader?.op !== op || reader.domain !== "") continue;
      const other = reader.inputs[0] === value ? reader.inputs[1] : reader.inputs[0];
      const values = parameter(other);
      if (values === undefined) continue;
      if (op === "Mul") scale = values;
      else bias = values;
      last = reader;
    }
    const output = last.outputs[0];
    const note = (name: string, values: readonly number[]): string => {
      constants.set(name, constantOf(dtype, normalized, values));
      types.set(name, { dtype, dims: normalized });
      return name;
    };
    const ones = () => new Array<number>(sizeOf(normalized)).fill(1);
    const inputs = [
      match.x,
      note(`${output}/scale`, scale ?? ones()),
      ...(bias === undefined ? [] : [note(`${output}/bias`, bias)]),
    ];
    const attributes = { axis: int(match.axis), epsilon: float(match.epsilon) };
    fused.set(last, standardNode("LayerNormalization", inputs, output, attributes, last.name));
  }
  if (fused.size === 0) return graph;
  return withoutDeadNodes({
    ...graph,
    nodes: graph.nodes.map((node) => fused.get(node) ?? node),
    constants,
    types,
  });
}

/** Where `node` divides x − mean by its deviation along all axes from `axis` on. */
function matchNormalized(
  graph: TracedGraph,
  links: Links,
  node: Node,
): { x: string; axis: number; epsilon: number } | undefined {
  const made = (value: string | undefined, ...ops: string[]): Node | undefined => {
    const producer = value === undefined ? undefined : links.producer(value);
    return producer && producer.domain === "" && ops.includes(producer.op) ? producer : undefined;
  };
  const number = (value: string | undefined): number | undefined => {
    const constant = value === undefined ? undefined : graph.constants.get(value);
    return constant && sizeOf(constant.dims) === 1 ? numbersOf(constant)[0] : undefined;
  };
  if (node.domain !== "") return undefined;
  const [first, second] = node.inputs;
  let root: Node | undefined;
  let centered: string | undefined;
  if (node.op === "Div") {
    root = made(second, "Sqrt");
    centered = first;
  } else if (node.op === "Mul") {
    const inverse = made(second, "Reciprocal") ?? made(first, "Reciprocal");
    root = made(inverse?.inputs[0], "Sqrt");
    centered = inverse?.outputs[0] === second ? first : second;
  }
  const shifted = made(root?.inputs[0], "Add");
  const epsilon = number(shifted?.inputs[1]) ?? number(shifted?.inputs[0]);
  const variance = made(shifted?.inputs[0], "ReduceMean") ?? made(shifted?.inputs[1], "ReduceMean");
  const square = made(variance?.inputs[0], "Pow", "Mul");
  const difference = made(centered, "Sub");
  if (!variance || !square || !difference || epsilon === undefined) return undefined;
  const squares = (value: string): boolean => {
    // Some exporters subtract the mean twice.
    const same = made(value, "Sub");
    return value === centered || same?.inputs.every((i, k) => i === difference.inputs[k]) === true;
  };
  const isSquare =
    square.op === "Pow"
      ? squares(square.inputs[0]) && number(square.inputs[1]) === 2
      : square.inputs.every(squares);
  const x = difference.inputs[0];
  const mean = made(difference.inputs[1], "ReduceMean");
  if (!isSquare || mean?.inputs[0] !== x) return undefined;
  const rank = graph.types.get(x)!.dims.length;
  const axis = trailingAxis(graph, mean, rank);
  if (axis === undefined || axis !== trailingAxis(graph, variance, rank)) return undefined;
  return { x, axis, epsilon };
}

/** The first axis of a reduction over all axes from one on, or undefined for any other reduction. */
function trailingAxis(graph: TracedGraph, reduce: Node, rank: number): number | undefined {
  if (intAttribute(reduce, "keepdims", 1) === 0) return undefined;
  const constant = graph.constants.get(reduce.inputs[1] ?? "");
  const axes = intsAttribute(reduce, "axes") ?? (constant ? Array.from(numbersOf(constant)) : undefined);
  if (axes === undefined || axes.length === 0) return undefined;
  const sorted = axes.map((axis) => fromFront(axis, rank)).sort((a, b) => a - b);
  return sorted.every((axis, i) => axis === rank - sorted.length + i) ? sorted[0] : undefined;
}

/** A constant spread over the normalized shape, or undefined where it is none or reaches further. */
function trailing(
  graph: TracedGraph,
  value: string,
  normalized: readonly number[],
  rank: number,
): readonly number[] | undefined {
  const constant = graph.constants.get(value);
  if (constant === undefined || constant.dims.length > rank) return undefined;
  const lead = constant.dims.length - normalized.length;
  if (constant.dims.slice(0, Math.max(0, lead)).some((d) => d !== 1)) return undefined;
  const own = lead >= 0 ? constant.dims.slice(lead) : [...new Array<number>(-lead).fill(1), ...constant.dims];
  const numbers = numbersOf(constant);
  return Array.from({ length: sizeOf(normalized) }, (_, flat) => {
    let index = 0;
    let stride = 1;
    let rest = flat;
    for (let i = normalized.length - 1; i >= 0; i--) {
      if (own[i] !== 1) index += (rest % normalized[i]) * stride;
      stride *= own[i];
      rest = Math.floor(rest / normalized[i]);
    }
    return numbers[index];
  });
}
