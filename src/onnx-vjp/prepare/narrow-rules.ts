import { numbersOf } from "../graph/constant.ts";
import {
  fromFront,
  intAttribute,
  intsAttribute,
  type Node,
  operatorOf,
  sizeOf,
  type TracedGraph,
} from "../graph/ir.ts";
import { type Part, range, throughReshape, unlessAll, wholeOf } from "./part.ts";

/** How a part of a node's output is computed. */
export interface Narrowed {
  /** The part that is computed: what was asked for, whole along the axes that the node mixes. */
  readonly part: Part;
  /** What it takes of each input; null for inputs that it does not read. */
  readonly needs: readonly (Part | null)[];
  /**
   * What the node becomes: itself on parts of its inputs, or the part of its first input as it is, or in another
   * shape, or spread to it.
   */
  readonly becomes: "itself" | "Identity" | "Reshape" | "Expand";
}

/** `asked` of output `k`; undefined where the node needs all of its inputs whatever is asked. */
type NarrowRule = (c: NarrowContext, asked: Part, k: number) => Narrowed | undefined;

interface NarrowContext {
  readonly node: Node;
  readonly out: readonly number[];
  dims(input: number): readonly number[];
  /** The numbers of a constant input; undefined where it is absent or computed. */
  numbers(input: number): number[] | undefined;
}

/** How a part of output `k` of `node` is computed from parts of its inputs, where that is possible. */
export function narrowed(graph: TracedGraph, node: Node, k: number, asked: Part): Narrowed | undefined {
  const key = operatorOf(node);
  const rule = Object.hasOwn(rules, key) ? rules[key] : elementwise.has(key) ? broadcasting : undefined;
  const used = node.outputs.filter((output) => output !== "");
  if (rule === undefined || (used.length > 1 && key !== "Split")) return undefined;
  const dimsOfValue = (value: string) => (graph.constants.get(value) ?? graph.types.get(value))?.dims ?? [];
  const out = dimsOfValue(node.outputs[k]);
  if (sizeOf(out) === 0 || node.inputs.some((input) => input !== "" && sizeOf(dimsOfValue(input)) === 0))
    return undefined;
  const numbers = (i: number) => {
    const constant = graph.constants.get(node.inputs[i] ?? "");
    return constant && Array.from(numbersOf(constant));
  };
  return rule({ node, out, dims: (i) => dimsOfValue(node.inputs[i] ?? ""), numbers }, asked, k);
}

/** Operators whose outputs each depend on one element of each input, with NumPy's broadcasting. */
const elementwise = new Set(
  [
    "Acos Acosh Asin Asinh Atan Atanh Cosh Sinh Tan",
    "Abs Add And Cast Ceil Celu Clip Cos Div Elu Equal Erf Exp Floor Greater GreaterOrEqual HardSigmoid HardSwish",
    "Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round",
    "Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where Xor",
    "com.microsoft.FastGelu com.microsoft.Gelu com.microsoft.QuickGelu",
  ].flatMap((line) => line.split(" ")),
);

/** What a part of a broadcast value takes of an input of shape `dims`; `out` is the result's shape. */
function broadcastPart(part: Part, out: readonly number[], dims: readonly number[]): Part {
  const lead = out.length - dims.length;
  return dims.map((d, axis) => (d === out[lead + axis] ? part[lead + axis] : undefined));
}

const wholeFrom = (part: Part, axis: number): Part => part.map((p, i) => (i < axis ? p : undefined));

const broadcasting: NarrowRule = ({ node, out, dims }, part) => ({
  part,
  needs: node.inputs.map((_, i) => broadcastPart(part, out, dims(i))),
  becomes: "itself",
});

/** Normalizations over all axes from one on; their parameters may have axes before it, too. */
const overTrailing: NarrowRule = ({ node, out, dims }, asked) => {
  const part = wholeFrom(asked, fromFront(intAttribute(node, "axis", -1), out.length));
  return { part, needs: node.inputs.map((_, i) => broadcastPart(part, out, dims(i))), becomes: "itself" };
};

const overAxis: NarrowRule = ({ node, out }, asked) => {
  const axis = fromFront(intAttribute(node, "axis", -1), out.length);
  const part = asked.map((p, i) => (i === axis ? undefined : p));
  return { part, needs: [part], becomes: "itself" };
};

const reshaping: NarrowRule = ({ node, out, dims }, asked) => {
  const { part, source } = throughReshape(asked, out, dims(0));
  return { part, needs: [source, ...node.inputs.slice(1).map(() => null)], becomes: "Reshape" };
};

const reduction: NarrowRule = ({ node, dims, numbers }, asked) => {
  const from = dims(0);
  const given = intsAttribute(node, "axes") ?? numbers(1);
  if (given === undefined || given.length === 0) return undefined;
  const reduced = new Set(given.map((axis) => fromFront(axis, from.length)));
  const keeps = intAttribute(node, "keepdims", 1) === 1;
  let at = 0;
  const source = from.map((_, axis) => {
    if (reduced.has(axis)) {
      if (keeps) at++;
      return undefined;
    }
    return asked[at++];
  });
  const needs = node.inputs.map((_, i) => (i === 0 ? source : wholeOf(dims(i).length)));
  return { part: asked, needs, becomes: "itself" };
};

/** Indices that a Slice takes of each axis; undefined where it counts backwards or its bounds are computed. */
function slicedIndices({ node, out, dims, numbers }: NarrowContext): (readonly number[])[] | undefined {
  if (node.inputs.slice(1).some((input, i) => input !== "" && numbers(i + 1) === undefined)) return undefined;
  const starts = numbers(1) ?? [];
  const axes = numbers(3) ?? range(starts.length);
  const steps = numbers(4) ?? starts.map(() => 1);
  if (steps.some((step) => step < 1)) return undefined;
  const taken: (readonly number[])[] = dims(0).map((d) => range(d));
  for (const [i, given] of axes.entries()) {
    const axis = fromFront(given, taken.length);
    const start = Math.max(fromFront(starts[i], dims(0)[axis]), 0);
    taken[axis] = range(out[axis]).map((j) => start + j * steps[i]);
  }
  return taken;
}

const through = (asked: readonly number[] | undefined, indices: readonly number[]): readonly number[] =>
  asked?.map((i) => indices[i]) ?? indices;

const rules: Readonly<Record<string, NarrowRule>> = {
  LayerNormalization: overTrailing,
  SimplifiedLayerNormalization: overTrailing,
  Softmax: overAxis,
  LogSoftmax: overAxis,

  Reshape: reshaping,
  Squeeze: reshaping,
  Unsqueeze: reshaping,
  Flatten: reshaping,

  ReduceMean: reduction,
  ReduceSum: reduction,
  ReduceMax: reduction,
  ReduceMin: reduction,
  ReduceL2: reduction,

  Transpose: ({ node, out }, part) => {
    const perm = intsAttribute(node, "perm") ?? range(out.length).reverse();
    return { part, needs: [range(out.length).map((axis) => part[perm.indexOf(axis)])], becomes: "itself" };
  },

  Expand: ({ out, dims }, part) => ({
    part,
    needs: [broadcastPart(part, out, dims(0)), null],
    becomes: "Expand",
  }),

  MatMul: ({ out, dims }, part) => {
    const [left, right] = [dims(0), dims(1)];
    if (left.length < 2 || right.length < 2) return undefined;
    const batch = (shape: readonly number[]) =>
      broadcastPart(part.slice(0, -2), out.slice(0, -2), shape.slice(0, -2));
    const needs = [
      [...batch(left), part.at(-2), undefined],
      [...batch(right), undefined, part.at(-1)],
    ];
    return { part, needs, becomes: "itself" };
  },

  Gemm: ({ node, out, dims }, part) => {
    const oriented = (key: string, outer: Part): Part =>
      intAttribute(node, key, 0) === 1 ? [...outer].reverse() : outer;
    const needs: Part[] = [
      oriented("transA", [part[0], undefined]),
      oriented("transB", [undefined, part[1]]),
    ];
    if (node.inputs.length > 2) needs.push(broadcastPart(part, out, dims(2)));
    return { part, needs, becomes: "itself" };
  },

  Slice: (c, part) => {
    const taken = slicedIndices(c);
    const source = taken?.map((indices, axis) => unlessAll(through(part[axis], indices), c.dims(0)[axis]));
    return (
      source && { part, needs: [source, ...c.node.inputs.slice(1).map(() => null)], becomes: "Identity" }
    );
  },

  Gather: ({ node, dims, numbers }, part) => {
    const [from, rank] = [dims(0), dims(1).length];
    const axis = fromFront(intAttribute(node, "axis", 0), from.length);
    const indices = numbers(1)?.map((index) => fromFront(index, from[axis]));
    if (indices === undefined || rank > 1) return undefined;
    // Indices out of order, or taken twice, are the Gather's own.
    if (indices.some((index, i) => i > 0 && index <= indices[i - 1])) return undefined;
    const taken = unlessAll(rank === 0 ? indices : through(part[axis], indices), from[axis]);
    const source = [...part.slice(0, axis), taken, ...part.slice(axis + rank)];
    return { part, needs: [source, null], becomes: rank === 0 ? "Reshape" : "Identity" };
  },

  Concat: ({ node, out, dims }, part) => {
    const axis = fromFront(intAttribute(node, "axis", 0), out.length);
    let offset = 0;
    const needs = node.inputs.map((_, i) => {
      const size = dims(i)[axis];
      const own = part[axis]?.map((index) => index - offset).filter((index) => index >= 0 && index < size);
      offset += size;
      if (own?.length === 0) return null;
      return part.map((p, k) => (k === axis ? own && unlessAll(own, size) : p));
    });
    return { part, needs, becomes: "itself" };
  },

  Split: (c, part, k) => {
    const axis = fromFront(intAttribute(c.node, "axis", 0), c.out.length);
    const sizes = splitSizes(c, axis);
    if (sizes === undefined) return undefined;
    const start = sizes.slice(0, k).reduce((sum, size) => sum + size, 0);
    const taken = (part[axis] ?? range(sizes[k])).map((index) => start + index);
    const source = part.map((p, i) => (i === axis ? unlessAll(taken, c.dims(0)[axis]) : p));
    return { part, needs: [source, null].slice(0, c.node.inputs.length), becomes: "Identity" };
  },
};

/** Sizes along `axis` of a Split's outputs, given or equal. */
function splitSizes({ node, dims, numbers }: NarrowContext, axis: number): readonly number[] | undefined {
  if ((node.inputs[1] ?? "") !== "") return numbers(1);
  const given = intsAttribute(node, "split");
  if (given !== undefined) return given;
  const each = Math.ceil(dims(0)[axis] / node.outputs.length);
  return node.outputs.map((_, i) => Math.min(each, Math.max(0, dims(0)[axis] - i * each)));
}
