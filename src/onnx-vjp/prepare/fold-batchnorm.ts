import { constantOf, numbersOf } from "../graph/constant.ts";
import { floatAttribute, intsAttribute, type Node, sizeOf, type TracedGraph } from "../graph/ir.ts";
import { type Links, linksOf } from "../graph/links.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import { type Linear, linearOf, perChannel, written } from "./linear-parts.ts";

/**
 * Folds batch normalizations, layer scales and biases into the convolution or product with constant weights whose
 * only reader they are: products by and sums with one constant a channel, also behind transpositions. Weights are
 * computed in double and rounded once. Each saves a pass over memory in the forward and one in the pullback; batch
 * normalizations that follow anything else stay.
 */
export function foldBatchNormalization(graph: TracedGraph): TracedGraph {
  const links = linksOf(graph);
  const constants = new Map(graph.constants);
  const types = new Map(graph.types);
  const replaced = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    const linear = linearOf(graph, node);
    const chain = linear && chainBehind(graph, links, linear);
    if (linear === undefined || chain === undefined) continue;
    const { output, transpositions, folded, scale, shift } = chain;
    const note = (name: string, dims: readonly number[], values: Float64Array): string => {
      constants.set(name, constantOf("float32", dims, values));
      types.set(name, { dtype: "float32", dims });
      return name;
    };
    // Sums alone leave the weight what it is: no second copy of it.
    const weight = scale.every((s) => s === 1)
      ? node.inputs[1]
      : note(`${output}/weight`, linear.weight.dims, scaledWeight(linear, scale));
    const bias = linear.bias.map((b, i) => b * scale[i] + shift[i]);
    // Values before the end of the chain are others than they were: they get new names.
    const between = (i: number) => (i === transpositions.length ? output : `${output}/folded${i}`);
    const biased = bias.some((b) => b !== 0);
    const made = written(
      node,
      weight,
      biased ? note(`${output}/bias`, [bias.length], bias) : undefined,
      between(0),
    );
    for (const { outputs } of made) types.set(outputs[0], graph.types.get(node.outputs[0])!);
    replaced.set(node, made);
    for (const [i, transposition] of transpositions.entries()) {
      types.set(between(i + 1), graph.types.get(transposition.outputs[0])!);
      replaced.set(transposition, [{ ...transposition, inputs: [between(i)], outputs: [between(i + 1)] }]);
    }
    for (const gone of folded) replaced.set(gone, []);
  }
  if (replaced.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node) => replaced.get(node) ?? [node]);
  return withoutDeadNodes({ ...graph, nodes, constants, types });
}

function scaledWeight({ weight, channelOf }: Linear, scale: Float64Array): Float64Array {
  const values = numbersOf(weight);
  const [rows, columns] = weight.dims as [number, number];
  const inner = sizeOf(weight.dims.slice(2));
  for (let i = 0, at = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const factor = scale[channelOf(i, j)];
      for (let k = 0; k < inner; k++, at++) values[at] *= factor;
    }
  }
  return values;
}

interface Chain {
  /** The value that the chain ends with. */
  readonly output: string;
  readonly transpositions: readonly Node[];
  /** Nodes whose effect is y = scale·x + shift, one number of each a channel. */
  readonly folded: readonly Node[];
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** The longest chain of only readers behind a linear node that folds into it, where that is worth doing. */
function chainBehind(graph: TracedGraph, links: Links, linear: Linear): Chain | undefined {
  const channels = linear.bias.length;
  let scale = new Float64Array(channels).fill(1);
  let shift = new Float64Array(channels);
  let { axis } = linear;
  let value = linear.node.outputs[0];
  const transpositions: Node[] = [];
  const folded: Node[] = [];
  let chain: Chain | undefined;
  for (;;) {
    const reader = links.onlyReader(value);
    if (reader === undefined || reader.domain !== "") break;
    const { dims } = graph.types.get(value)!;
    const output = reader.outputs[0];
    if (reader.op === "Transpose") {
      const perm = intsAttribute(reader, "perm") ?? dims.map((_, i) => dims.length - 1 - i);
      axis = perm.indexOf(axis);
      transpositions.push(reader);
      value = output;
      continue;
    }
    const step = affineOf(graph, reader, value, axis);
    if (step === undefined) break;
    scale = scale.map((s, i) => s * step.scale[i]);
    shift = shift.map((s, i) => s * step.scale[i] + step.shift[i]);
    folded.push(reader);
    value = output;
    chain = { output, transpositions: [...transpositions], folded: [...folded], scale, shift };
  }
  // A product and one sum are what they would become.
  const same = linear.node.op === "MatMul" && chain?.folded.length === 1 && chain.folded[0].op === "Add";
  const finite = chain && [...chain.scale, ...chain.shift].every(Number.isFinite);
  return same || !finite ? undefined : chain;
}

/** What a node does to each channel of `value`, where that is all it does. */
function affineOf(
  graph: TracedGraph,
  node: Node,
  value: string,
  axis: number,
): Pick<Chain, "scale" | "shift"> | undefined {
  const { dims } = graph.types.get(value)!;
  const channels = dims[axis];
  const ones = () => new Float64Array(channels).fill(1);
  const zeros = () => new Float64Array(channels);
  if (node.op === "BatchNormalization") {
    const parameters = node.inputs.slice(1).map((name) => perChannel(graph, name, channels, 0, 1));
    if (axis !== 1 || node.inputs[0] !== value || node.outputs.slice(1).some((o) => o !== ""))
      return undefined;
    const [gamma, beta, mean, variance] = parameters;
    if (!gamma || !beta || !mean || !variance) return undefined;
    const epsilon = floatAttribute(node, "epsilon", 1e-5);
    const scale = gamma.map((g, i) => g / Math.sqrt(variance[i] + epsilon));
    return { scale, shift: beta.map((b, i) => b - mean[i] * scale[i]) };
  }
  const place = node.inputs.indexOf(value);
  const other = node.inputs[1 - place];
  const numbers = other === undefined ? undefined : perChannel(graph, other, channels, axis, dims.length);
  if (numbers === undefined) return undefined;
  switch (node.op) {
    case "Mul":
      return { scale: numbers, shift: zeros() };
    case "Div":
      return place === 0 ? { scale: numbers.map((v) => 1 / v), shift: zeros() } : undefined;
    case "Add":
      return { scale: ones(), shift: numbers };
    case "Sub":
      return place === 0
        ? { scale: ones(), shift: numbers.map((v) => -v) }
        : { scale: ones().fill(-1), shift: numbers };
    default:
      return undefined;
  }
}
