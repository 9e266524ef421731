import { constantOf, numbersOf } from "../../graph/constant.ts";
import { protoOfDataType } from "../../graph/data-type.ts";
import {
  floatAttribute,
  fromFront,
  int,
  intAttribute,
  intsAttribute,
  sizeOf,
  stringAttribute,
} from "../../graph/ir.ts";
import { windowOf } from "../../graph/window.ts";
import type { Lowering, LoweringContext, LoweringTable } from "./lowering.ts";

/** Crops and pads to the middle: odd margins are a pixel larger behind. */
const centerCropPad: Lowering = ({ node, b, type, constant }) => {
  const [x, shapeInput] = node.inputs as readonly [string, string];
  const shape = constant(shapeInput);
  if (shape === undefined) return undefined;
  const { dims } = type(x);
  const axes = (intsAttribute(node, "axes") ?? [...dims.keys()]).map((axis) => fromFront(axis, dims.length));
  const wanted = new Map(axes.map((axis, i) => [axis, numbersOf(shape)[i]] as const));
  const larger = axes.filter((axis) => dims[axis] > wanted.get(axis)!);
  let value = x;
  if (larger.length > 0) {
    const starts = larger.map((axis) => Math.floor((dims[axis] - wanted.get(axis)!) / 2));
    const ends = starts.map((start, i) => start + wanted.get(larger[i])!);
    value = b.op("Slice", [value, b.ints(starts), b.ints(ends), b.ints(larger)]);
  }
  const missing = dims.map((d, axis) => Math.max(0, (wanted.get(axis) ?? d) - d));
  const before = missing.map((m) => Math.floor(m / 2));
  if (missing.some((m) => m > 0)) {
    value = b.op("Pad", [value, b.ints([...before, ...missing.map((m, i) => m - before[i])])]);
  }
  return [value];
};

/** Each sequence of the batch read backwards up to its length: rows of both axes together, in another order. */
const reverseSequence: Lowering = ({ node, b, type, constant }) => {
  const [x, lengthsInput] = node.inputs as readonly [string, string];
  const lengths = constant(lengthsInput);
  if (lengths === undefined) return undefined;
  const { dims } = type(x);
  const time = fromFront(intAttribute(node, "time_axis", 0), dims.length);
  const [first, second] = dims as readonly [number, number];
  const known = numbersOf(lengths);
  const rows = Array.from({ length: first * second }, (_, row) => {
    const [i, k] = [Math.floor(row / second), row % second];
    const [t, n] = time === 0 ? [i, k] : [k, i];
    const source = t < known[n] ? known[n] - 1 - t : t;
    return time === 0 ? source * second + n : n * second + source;
  });
  const flat = b.reshape(x, [first * second, ...dims.slice(2)]);
  return [b.reshape(b.op("Gather", [flat, b.ints(rows)], { axis: int(0) }), dims)];
};

/** Puts maxima back to where they were, among zeros. */
const maxUnpool: Lowering = ({ node, b, type }) => {
  const [x, indices] = node.inputs as readonly [string, string];
  const { dims } = type(node.outputs[0]);
  const own = type(x);
  const window = windowOf(node, intsAttribute(node, "kernel_shape")!);
  const inferred = own.dims
    .slice(2)
    .map((d, i) => (d - 1) * window.strides[i] + window.kernel[i] - window.begin[i] - window.end[i]);
  // The places are counted in the shape that the window gives.
  if (inferred.some((d, i) => d !== dims[i + 2])) return undefined;
  const zeros = b.op("Expand", [b.scalar(0, own.dtype), b.ints([sizeOf(dims)])]);
  const flat = (value: string) => b.reshape(value, [sizeOf(own.dims)]);
  return [b.reshape(b.op("ScatterElements", [zeros, flat(indices), flat(x)], { axis: int(0) }), dims)];
};

/** One of two values for each class. */
const oneHot: Lowering = ({ node, b, type }) => {
  const [indices, , values] = node.inputs as readonly [string, string, string];
  const { dims } = type(node.outputs[0]);
  const axis = fromFront(intAttribute(node, "axis", -1), dims.length);
  const { dtype } = type(indices);
  const depth = dims[axis];
  const column = b.reshape(
    indices,
    dims.map((d, i) => (i === axis ? 1 : d)),
  );
  const shape = dims.map((_, i) => (i === axis ? depth : 1));
  const at = (from: number) =>
    b.op("Equal", [
      column,
      b.constant(
        constantOf(
          dtype,
          shape,
          Array.from({ length: depth }, (_, k) => from + k),
        ),
      ),
    ]);
  // Negative indices count from the end.
  const hot = b.op("Or", [at(0), at(-depth)]);
  const part = (k: number) =>
    b.reshape(b.op("Slice", [values, b.ints([k]), b.ints([k + 1]), b.ints([0])]), [1]);
  return [b.op("Where", [hot, part(1), part(0)])];
};

/** The rows, or elements, that a known condition keeps. */
const compress: Lowering = ({ node, b, type, constant }) => {
  const [x, conditionInput] = node.inputs as readonly [string, string];
  const condition = constant(conditionInput);
  if (condition === undefined) return undefined;
  const kept = Array.from(numbersOf(condition)).flatMap((keep, i) => (keep === 0 ? [] : [i]));
  if (kept.length === 0) return undefined;
  const { dims } = type(x);
  const given = node.attributes.axis === undefined ? undefined : intAttribute(node, "axis", 0);
  if (given !== undefined)
    return [b.op("Gather", [x, b.ints(kept)], { axis: int(fromFront(given, dims.length)) })];
  return [b.op("Gather", [b.reshape(x, [sizeOf(dims)]), b.ints(kept)], { axis: int(0) })];
};

/** Cells of a MaxRoiPool that are written out, each as a slice and its maximum. */
const mostCells = 4096;

/** MaxRoiPool of regions that are known. */
const maxRoiPool: Lowering = ({ node, b, type, constant }) => {
  const [x, roisInput] = node.inputs as readonly [string, string];
  const rois = constant(roisInput);
  const { dims, dtype } = type(x);
  const channels = dims[1];
  const pooled = intsAttribute(node, "pooled_shape") as readonly [number, number];
  if (rois === undefined || rois.dims[0] * sizeOf(pooled) > mostCells) return undefined;
  const numbers = numbersOf(rois);
  const scale = floatAttribute(node, "spatial_scale", 1);
  const cells: string[] = [];
  for (let r = 0; r < rois.dims[0]; r++) {
    const [image, ...corners] = numbers.subarray(5 * r, 5 * r + 5);
    const [left, top, right, bottom] = corners.map((c) => Math.round(c * scale)) as [
      number,
      number,
      number,
      number,
    ];
    const bounds = (
      cell: number,
      count: number,
      from: number,
      to: number,
      size: number,
    ): [number, number] => {
      const step = Math.max(to - from + 1, 1) / count;
      const clamp = (v: number) => Math.min(Math.max(v + from, 0), size);
      return [clamp(Math.floor(cell * step)), clamp(Math.ceil((cell + 1) * step))];
    };
    for (let i = 0; i < pooled[0]; i++) {
      for (let k = 0; k < pooled[1]; k++) {
        const [y, yEnd] = bounds(i, pooled[0], top, bottom, dims[2]);
        const [z, zEnd] = bounds(k, pooled[1], left, right, dims[3]);
        if (yEnd <= y || zEnd <= z) {
          cells.push(b.constant(constantOf(dtype, [1, channels], new Float64Array(channels))));
          continue;
        }
        const cell = b.op("Slice", [
          x,
          b.ints([image!, y, z]),
          b.ints([image! + 1, yEnd, zEnd]),
          b.ints([0, 2, 3]),
        ]);
        cells.push(b.op("ReduceMax", [cell, b.ints([2, 3])], { keepdims: int(0) }));
      }
    }
  }
  const rows = cells.length === 1 ? cells[0] : b.op("Concat", cells, { axis: int(0) });
  const grouped = b.reshape(rows, [rois.dims[0], ...pooled, channels]);
  return [b.transpose(grouped, [0, 3, 1, 2])];
};

/**
 * The negative log-likelihood of the classes named by `target`: x is [n, classes, …], target [n, …]. Those that are
 * `ignore_index` count for nothing; a mean is over the weights.
 */
function negativeLogLikelihood(context: LoweringContext, x: string): string {
  const { node, b, type } = context;
  const [, target, weight = ""] = node.inputs as readonly [string, string, string?];
  const { dtype, dims } = type(node.inputs[0]);
  const targetType = type(target);
  const column = [dims[0], 1, ...dims.slice(2)];
  const scalar = (value: number) => b.scalar(value, dtype);
  let index = target;
  let share: string | undefined;
  if (node.attributes.ignore_index !== undefined) {
    const ignored = b.scalar(intAttribute(node, "ignore_index", 0), targetType.dtype);
    const counts = b.op("Not", [b.op("Equal", [target, ignored])]);
    index = b.op("Where", [counts, target, b.scalar(0, targetType.dtype)]);
    share = b.op("Cast", [counts], { to: int(protoOfDataType(dtype)) });
  }
  const picked = b.op("GatherElements", [x, b.reshape(index, column)], { axis: int(1) });
  let loss = b.op("Neg", [b.reshape(picked, targetType.dims)]);
  if (weight !== "") {
    const own = b.op("Gather", [weight, index], { axis: int(0) });
    share = share === undefined ? own : b.op("Mul", [own, share]);
  }
  if (share !== undefined) loss = b.op("Mul", [loss, share]);
  const reduction = stringAttribute(node, "reduction", "mean");
  if (reduction === "none") return loss;
  const axes = [...targetType.dims.keys()];
  const sum = b.reduceSum(loss, axes, false);
  if (reduction === "sum") return sum;
  const count = share === undefined ? scalar(sizeOf(targetType.dims)) : b.reduceSum(share, axes, false);
  return b.op("Div", [sum, count]);
}

/** The determinant of the last two axes, for at most this many rows: each minor is written out. */
const largestDeterminant = 4;

const determinant: Lowering = ({ node, b, type }) => {
  const x = node.inputs[0];
  const { dims } = type(x);
  const size = dims.at(-1)!;
  if (size > largestDeterminant) return undefined;
  const lead = dims.slice(0, -2);
  const rank = dims.length;
  const flat = b.reshape(x, [...lead, size * size]);
  const element = (i: number, k: number) => {
    const at = i * size + k;
    return b.reshape(b.op("Slice", [flat, b.ints([at]), b.ints([at + 1]), b.ints([rank - 2])]), lead);
  };
  // Along the first row of those that are left.
  const minor = (row: number, columns: readonly number[]): string => {
    if (columns.length === 1) return element(row, columns[0]);
    return columns
      .map((column, i) => {
        const rest = columns.filter((other) => other !== column);
        const term = b.op("Mul", [element(row, column), minor(row + 1, rest)]);
        return i % 2 === 0 ? term : b.op("Neg", [term]);
      })
      .reduce((sum, term) => b.op("Add", [sum, term]));
  };
  return [minor(0, [...Array(size).keys()])];
};

/** Operators that move numbers to other places, and those that are sums of products of few numbers. */
export const placeLowerings: LoweringTable = {
  CenterCropPad: centerCropPad,
  ReverseSequence: reverseSequence,
  MaxUnpool: maxUnpool,
  OneHot: oneHot,
  Compress: compress,
  MaxRoiPool: maxRoiPool,
  Det: determinant,

  // x/(bias + α/size·Σ x²)^β, with the sum over `size` channels around each: a product with a band of ones.
  LRN: ({ node, b, type }) => {
    const x = node.inputs[0];
    const { dims, dtype } = type(x);
    const [batch, channels] = dims as readonly [number, number];
    const size = intAttribute(node, "size", 1);
    const alpha = floatAttribute(node, "alpha", 1e-4) / size;
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const band = Float64Array.from({ length: channels * channels }, (_, e) => {
      const distance = (e % channels) - Math.floor(e / channels);
      return distance >= -before && distance <= after ? alpha : 0;
    });
    const squares = b.reshape(b.op("Mul", [x, x]), [batch, channels, sizeOf(dims.slice(2))]);
    const sums = b.op("MatMul", [b.constant(constantOf(dtype, [channels, channels], band)), squares]);
    const shifted = b.op("Add", [b.reshape(sums, dims), b.scalar(floatAttribute(node, "bias", 1), dtype)]);
    return [b.op("Mul", [x, b.op("Pow", [shifted, b.scalar(-floatAttribute(node, "beta", 0.75), dtype)])])];
  },

  // x·σ(αx)
  Swish: ({ node, b }) => [
    b.op(
      "QuickGelu",
      [node.inputs[0]],
      { alpha: { kind: "float", value: floatAttribute(node, "alpha", 1) } },
      "com.microsoft",
    ),
  ],

  NegativeLogLikelihoodLoss: (context) => [negativeLogLikelihood(context, context.node.inputs[0])],
  SoftmaxCrossEntropyLoss: (context) => {
    const logarithms = context.b.op("LogSoftmax", [context.node.inputs[0]], { axis: int(1) });
    return [negativeLogLikelihood(context, logarithms), logarithms];
  },
};
