import { constantOf, float32Of, numbersOf } from "../graph/constant.ts";
import {
  type Constant,
  floatAttribute,
  fromFront,
  intAttribute,
  type Node,
  type TracedGraph,
} from "../graph/ir.ts";
import { type Links, linksOf } from "../graph/links.ts";
import { withoutDeadNodes } from "../graph/live.ts";
import { type Linear, linearOf, written } from "./linear-parts.ts";

/**
 * Takes scale and bias of layer normalizations into the products with constant weights that are their only readers,
 * also behind reshapes, and takes from each of those products' columns its mean: normalized rows add up to zero, so
 * that the product is the same, and the rows of the cotangent that comes back add up to zero too. What is left of the
 * normalization is what its pullback is written with. Weights are computed in double and rounded once.
 */
export function foldLayerNormalization(graph: TracedGraph): TracedGraph {
  const links = linksOf(graph);
  const constants = new Map(graph.constants);
  const types = new Map(graph.types);
  const replaced = new Map<Node, readonly Node[]>();
  for (const node of graph.nodes) {
    const affine = affineOf(graph, node);
    const behind = affine && productsBehind(graph, links, node.outputs[0], affine.scale.length);
    if (affine === undefined || behind === undefined) continue;
    const note = (name: string, constant: Constant): string => {
      constants.set(name, constant);
      types.set(name, { dtype: constant.dtype, dims: constant.dims });
      return name;
    };
    // Values between the normalization and the products are others than they were: they get new names.
    const renamed = (value: string): string => {
      types.set(`${value}/normalized`, graph.types.get(value)!);
      return `${value}/normalized`;
    };
    const output = node.outputs[0];
    const ones = constantOf("float32", [affine.scale.length], new Float32Array(affine.scale.length).fill(1));
    replaced.set(node, [
      {
        ...node,
        inputs: [node.inputs[0], note(`${output}/ones`, ones)],
        outputs: [renamed(output), ...node.outputs.slice(1)],
      },
    ]);
    for (const reshape of behind.reshapes) {
      const inputs = [renamed(reshape.inputs[0]), ...reshape.inputs.slice(1)];
      replaced.set(reshape, [{ ...reshape, inputs, outputs: [renamed(reshape.outputs[0])] }]);
    }
    for (const linear of behind.products) {
      const value = linear.node.outputs[0];
      const { weight, shift } = foldedWeight(linear, affine);
      const bias = linear.bias.map((b, i) => b + shift[i]);
      const made = written(
        { ...linear.node, inputs: [renamed(linear.node.inputs[0])] },
        note(`${value}/normalized/weight`, weight),
        bias.some((b) => b !== 0)
          ? note(`${value}/normalized/bias`, constantOf("float32", [bias.length], bias))
          : undefined,
        value,
      );
      for (const { outputs } of made) types.set(outputs[0], graph.types.get(value)!);
      replaced.set(linear.node, made);
    }
  }
  if (replaced.size === 0) return graph;
  const nodes = graph.nodes.flatMap((node) => replaced.get(node) ?? [node]);
  return withoutDeadNodes({ ...graph, nodes, constants, types });
}

/**
 * Whether the rows that a product with `weight` gives its left side's cotangent add up to zero, as far as rounding
 * lets them.
 * @param transposed whether the product takes the weight transposed
 */
export function givesCenteredRows(weight: Constant, transposed: boolean): boolean {
  const known = centered.get(weight) ?? new Map<boolean, boolean>();
  centered.set(weight, known);
  const answer = known.get(transposed) ?? columnsAddUpToZero(weight, transposed);
  known.set(transposed, answer);
  return answer;
}

const centered = new WeakMap<Constant, Map<boolean, boolean>>();

/** Of the sum of magnitudes: more than rounding leaves. */
const tolerance = 2 ** -22;

function columnsAddUpToZero(weight: Constant, transposed: boolean): boolean {
  if (weight.dtype !== "float32" || weight.dims.length !== 2) return false;
  const values = float32Of(weight);
  const sums = new Float64Array(weight.dims[transposed ? 0 : 1]);
  const sizes = new Float64Array(sums.length);
  eachOf(weight, transposed, (k, _, j) => {
    sums[j] += values[k];
    sizes[j] += Math.abs(values[k]);
  });
  return sums.every((sum, j) => Math.abs(sum) <= tolerance * sizes[j]);
}

/** Every number of a product's right side as it is stored: its place, its row and its column there. */
function eachOf(
  { dims }: Constant,
  transposed: boolean,
  visit: (place: number, row: number, column: number) => void,
): void {
  const [outer, inner] = dims as [number, number];
  for (let a = 0, k = 0; a < outer; a++) {
    for (let b = 0; b < inner; b++, k++) visit(k, transposed ? b : a, transposed ? a : b);
  }
}

/** y = scale·x̂ + bias of a normalization over the last axis. */
interface Affine {
  readonly scale: Float64Array;
  readonly bias: Float64Array;
}

function affineOf(graph: TracedGraph, node: Node): Affine | undefined {
  if (node.op !== "LayerNormalization" || node.domain !== "") return undefined;
  const { dims, dtype } = graph.types.get(node.inputs[0])!;
  const axis = fromFront(intAttribute(node, "axis", -1), dims.length);
  const scale = graph.constants.get(node.inputs[1] ?? "");
  const bias = node.inputs[2] ? graph.constants.get(node.inputs[2]) : undefined;
  if (dtype !== "float32" || axis !== dims.length - 1 || scale?.dims.length !== 1) return undefined;
  if (node.inputs[2] && bias?.dims.length !== 1) return undefined;
  const numbers = { scale: numbersOf(scale), bias: bias ? numbersOf(bias) : new Float64Array(dims[axis]) };
  return [...numbers.scale, ...numbers.bias].every(Number.isFinite) ? numbers : undefined;
}

interface Behind {
  readonly reshapes: readonly Node[];
  readonly products: readonly Linear[];
}

/** What reads a value, where that is nothing but products with constant weights, and reshapes that keep its rows. */
function productsBehind(graph: TracedGraph, links: Links, value: string, width: number): Behind | undefined {
  const reshapes: Node[] = [];
  const products: Linear[] = [];
  for (const reader of links.onlyReaders(value) ?? []) {
    if (reader.domain !== "" || reader.inputs.lastIndexOf(value) !== 0) return undefined;
    const linear = isPlainProduct(reader) ? linearOf(graph, reader) : undefined;
    if (linear) products.push(linear);
    else if (reader.op === "Reshape" && graph.types.get(reader.outputs[0])!.dims.at(-1) === width) {
      const behind = productsBehind(graph, links, reader.outputs[0], width);
      if (behind === undefined) return undefined;
      reshapes.push(reader, ...behind.reshapes);
      products.push(...behind.products);
    } else return undefined;
  }
  return products.length === 0 ? undefined : { reshapes, products };
}

/** Whether a node multiplies the rows of its first input as they are. */
function isPlainProduct(node: Node): boolean {
  if (node.op !== "Gemm") return node.op === "MatMul";
  return intAttribute(node, "transA", 0) === 0 && floatAttribute(node, "alpha", 1) === 1;
}

interface Folded extends Affine {
  readonly transposed: boolean;
  readonly weight: Constant;
  /** What the normalization's bias adds to the product. */
  readonly shift: Float64Array;
}

/** A weight is folded once for all batches that a graph is prepared for. */
const folds = new WeakMap<Constant, Folded[]>();

function foldedWeight({ node, weight }: Linear, affine: Affine): Folded {
  const transposed = node.op === "Gemm" && intAttribute(node, "transB", 0) === 1;
  const same = (a: Float64Array, b: Float64Array) => a.every((value, i) => value === b[i]);
  const known = folds.get(weight) ?? [];
  const found = known.find(
    (f) => f.transposed === transposed && same(f.scale, affine.scale) && same(f.bias, affine.bias),
  );
  if (found !== undefined) return found;
  const { scale, bias } = affine;
  const given = float32Of(weight);
  const shift = new Float64Array(weight.dims[transposed ? 0 : 1]);
  const means = new Float64Array(shift.length);
  eachOf(weight, transposed, (k, i, j) => {
    shift[j] += bias[i] * given[k];
    means[j] += (scale[i] * given[k]) / scale.length;
  });
  const values = new Float32Array(given.length);
  eachOf(weight, transposed, (k, i, j) => {
    values[k] = scale[i] * given[k] - means[j];
  });
  const folded = { ...affine, transposed, weight: constantOf("float32", weight.dims, values), shift };
  folds.set(weight, [...known, folded]);
  return folded;
}
