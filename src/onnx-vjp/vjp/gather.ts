import { constantOf, numbersOf } from "../graph/constant.ts";
import { fromFront, int, intAttribute, sizeOf, stringAttribute, text } from "../graph/ir.ts";
import { arithmetic } from "./arithmetic.ts";
import { constantMatrix, contractAxis, padAxis, reshaped, zerosOf } from "./reshaping.ts";
import type { RuleContext, RuleTable } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

export const gatherRules: RuleTable = {
  Gather: (c, [dy]) => {
    const dims = c.inputDims(0);
    const axis = fromFront(intAttribute(c.node, "axis", 0), dims.length);
    const indices = c.node.inputs[1];
    const count = sizeOf(c.inputDims(1));
    const rows = reshaped(c.b, dy!, c.outputDims(0), withSize(dims, axis, count));
    const known = c.constant(indices);
    if (known === undefined) return [addComputedRows(c, rows, dims, axis, indices), null];
    const picked = Array.from(numbersOf(known), (i) => fromFront(i, dims[axis]));
    return [addRows(c, rows, dims, axis, picked), null];
  },

  // A gather of rows, once the leading axes that an index runs over are flattened into one.
  GatherND: (c, [dy]) => {
    const dims = c.inputDims(0);
    const tuples = c.inputDims(1);
    const batched = intAttribute(c.node, "batch_dims", 0);
    const depth = batched + tuples.at(-1)!;
    const known = c.constant(c.node.inputs[1]);
    if (known === undefined) throw uncovered(c.node, "takes indices that are computed from the image");
    const size = sizeOf(dims.slice(0, depth));
    const count = sizeOf(tuples.slice(0, -1));
    const picked = linearIndices(Array.from(numbersOf(known)), tuples, dims, batched);
    const flat = [size, sizeOf(dims.slice(depth))];
    const rows = reshaped(c.b, dy!, c.outputDims(0), withSize(flat, 0, count));
    return [reshaped(c.b, addRows(c, rows, flat, 0, picked), flat, dims), null];
  },

  GatherElements: (c, [dy]) => {
    const axis = fromFront(intAttribute(c.node, "axis", 0), c.inputDims(0).length);
    return [addElements(c, dy!, c.inputDims(0), axis, c.node.inputs[1]), null];
  },

  ScatterElements: (c, [dy]) => {
    const [, indices] = c.node.inputs as [string, string, string];
    const attributes = { axis: int(intAttribute(c.node, "axis", 0)) };
    return scattered(c, dy!, "ScatterElements", attributes, () =>
      c.b.op("GatherElements", [dy!, indices], attributes),
    );
  },
  ScatterND: (c, [dy]) =>
    scattered(c, dy!, "ScatterND", {}, () => c.b.op("GatherND", [dy!, c.node.inputs[1]])),
};

/** Data that were not overwritten keep their cotangent; the updates take theirs from where they were put. */
function scattered(
  c: RuleContext,
  dy: string,
  op: string,
  attributes: Record<string, ReturnType<typeof int>>,
  taken: () => string,
): (string | null)[] {
  const reduction = stringAttribute(c.node, "reduction", "none");
  if (reduction !== "none" && reduction !== "add")
    throw uncovered(c.node, `has the reduction "${reduction}"`);
  const kept = () => {
    if (reduction === "add") return dy;
    const zeros = zerosOf(c.b, c.inputDims(2), c.type(c.node.outputs[0]).dtype);
    return c.b.op(op, [dy, c.node.inputs[1], zeros], attributes);
  };
  return [c.needs(0) ? kept() : null, null, c.needs(2) ? taken() : null];
}

/** Zeros of shape `dims` with `x` added at `indices` (as many as `x` has elements) of `axis`. */
export function addElements(
  c: RuleContext,
  x: string,
  dims: readonly number[],
  axis: number,
  indices: string,
): string {
  const zeros = zerosOf(c.b, dims, c.type(c.node.outputs[0]).dtype);
  return c.b.op("ScatterElements", [zeros, indices, x], { axis: int(axis), reduction: text("add") });
}

/** The largest one-hot matrix, in elements, that repeated indices are summed with. */
const largestOneHot = 1 << 22;

/**
 * The adjoint of picking the rows `picked` of one axis of a value of shape `dims`: each row of `x` is added to
 * the row it was taken from. A copy, unless a row was picked twice.
 */
function addRows(
  c: RuleContext,
  x: string,
  dims: readonly number[],
  axis: number,
  picked: readonly number[],
): string {
  const { b } = c;
  const size = dims[axis];
  const count = picked.length;
  if (picked.every((p, i) => p === picked[0] + i)) {
    return padAxis(b, x, dims.length, axis, picked[0], size - picked[0] - count);
  }
  if (new Set(picked).size === count) {
    // Row p comes from row i of the cotangent where picked[i] = p, elsewhere from a row of zeros put behind it.
    const source = new Array<number>(size).fill(count);
    for (const [i, p] of picked.entries()) source[p] = i;
    const padded = size === count ? x : padAxis(b, x, dims.length, axis, 0, 1);
    return b.op("Gather", [padded, b.ints(source)], { axis: int(axis) });
  }
  const rows = withSize(dims, axis, count);
  if (size * count <= largestOneHot) {
    const oneHot = constantMatrix(b, c.type(c.node.outputs[0]).dtype, count, size, (i, p) =>
      picked[i] === p ? 1 : 0,
    );
    return contractAxis(b, x, rows, axis, oneHot);
  }
  const column = b.reshape(b.ints(picked), withSize(new Array(dims.length).fill(1), axis, count));
  return addElements(c, x, dims, axis, b.op("Expand", [column, b.ints(rows)]));
}

/** `addRows` for indices that are computed. */
function addComputedRows(
  c: RuleContext,
  x: string,
  dims: readonly number[],
  axis: number,
  indices: string,
): string {
  const { b } = c;
  const size = dims[axis];
  const count = sizeOf(c.type(indices).dims);
  const { less, add, where, equal } = arithmetic(b, c.type(indices).dtype);
  const { float } = arithmetic(b, c.type(c.node.outputs[0]).dtype);
  const column = b.reshape(where(less(indices, 0), add(indices, size), indices), [count, 1]);
  const places = Array.from({ length: size }, (_, p) => p);
  const placesType = c.type(indices).dtype;
  const oneHot = float(equal(column, b.constant(constantOf(placesType, [1, size], places))));
  return contractAxis(b, x, withSize(dims, axis, count), axis, {
    rows: count,
    columns: size,
    name: (transposed) => (transposed ? b.transpose(oneHot, [1, 0]) : oneHot),
  });
}

/** The row that each index tuple of GatherND names, counted over the flattened leading axes. */
function linearIndices(
  indices: readonly number[],
  tuples: readonly number[],
  dims: readonly number[],
  batched: number,
): number[] {
  const depth = tuples.at(-1)!;
  const batches = sizeOf(tuples.slice(0, batched));
  const perBatch = sizeOf(tuples.slice(batched, -1));
  return Array.from({ length: batches * perBatch }, (_, t) => {
    let row = Math.floor(t / perBatch);
    for (let k = 0; k < depth; k++) {
      const size = dims[batched + k];
      row = row * size + fromFront(indices[t * depth + k], size);
    }
    return row;
  });
}

const withSize = (dims: readonly number[], axis: number, size: number): number[] =>
  dims.map((d, i) => (i === axis ? size : d));
