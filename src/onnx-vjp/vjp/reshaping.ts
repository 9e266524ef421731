import type { GraphBuilder } from "../graph/builder.ts";
import { constantOf } from "../graph/constant.ts";
import { type DataType, sizeOf } from "../graph/ir.ts";

/** Whether two shapes are equal. */
export function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** `x` of shape `from` as shape `to`. */
export function reshaped(b: GraphBuilder, x: string, from: readonly number[], to: readonly number[]): string {
  return sameDims(from, to) ? x : b.reshape(x, to);
}

/** The permutation that undoes `perm`. */
export function inversePermutation(perm: readonly number[]): number[] {
  const inverse = new Array<number>(perm.length);
  for (const [to, from] of perm.entries()) inverse[from] = to;
  return inverse;
}

/** `x` with `before[i]` and `after[i]` zeros around axis i. */
export function padZeros(
  b: GraphBuilder,
  x: string,
  before: readonly number[],
  after: readonly number[],
): string {
  return [...before, ...after].every((p) => p === 0) ? x : b.op("Pad", [x, b.ints([...before, ...after])]);
}

/** `x` with zeros around one axis of its `rank`. */
export function padAxis(
  b: GraphBuilder,
  x: string,
  rank: number,
  axis: number,
  before: number,
  after: number,
): string {
  const only = (p: number) => Array.from({ length: rank }, (_, i) => (i === axis ? p : 0));
  return padZeros(b, x, only(before), only(after));
}

/** Elements `start` to `end` (exclusive) of one axis. */
export function sliceAxis(b: GraphBuilder, x: string, axis: number, start: number, end: number): string {
  return b.op("Slice", [x, b.ints([start]), b.ints([end]), b.ints([axis])]);
}

/** `x` with one axis, of `size` elements, reversed. */
export function flip(b: GraphBuilder, x: string, axis: number, size: number): string {
  return b.op("Slice", [x, b.ints([-1]), b.ints([-size - 1]), b.ints([axis]), b.ints([-1])]);
}

/** `x` (shape `dims`) with `step − 1` zeros after each element of one axis. */
export function dilateAxis(
  b: GraphBuilder,
  x: string,
  dims: readonly number[],
  axis: number,
  step: number,
): string {
  if (step === 1) return x;
  const split = [...dims.slice(0, axis + 1), 1, ...dims.slice(axis + 1)];
  const padded = padAxis(b, b.reshape(x, split), split.length, axis + 1, 0, step - 1);
  return b.reshape(
    padded,
    dims.map((d, i) => (i === axis ? d * step : d)),
  );
}

/** Zeros of shape `dims`, not stored in the graph. */
export function zerosOf(b: GraphBuilder, dims: readonly number[], dtype: DataType): string {
  return b.op("Expand", [b.scalar(0, dtype), b.ints(dims)]);
}

/** A matrix of `rows` × `columns` that is a constant, or that a node makes. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** The name of the matrix, or of its transpose. */
  name(transposed: boolean): string;
}

/** A constant matrix from its elements. */
export function constantMatrix(
  b: GraphBuilder,
  dtype: DataType,
  rows: number,
  columns: number,
  element: (row: number, column: number) => number,
): Matrix {
  return {
    rows,
    columns,
    name(transposed) {
      const [m, n] = transposed ? [columns, rows] : [rows, columns];
      const values = new Float64Array(m * n);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) values[i * n + j] = transposed ? element(j, i) : element(i, j);
      }
      return b.constant(constantOf(dtype, [m, n], values));
    },
  };
}

/**
 * The adjoint of applying `matrix` along one axis: element i of that axis of the result is Σ_o matrix[o, i]·x[o].
 * One matrix product; `x` has shape `dims`.
 */
export function contractAxis(
  b: GraphBuilder,
  x: string,
  dims: readonly number[],
  axis: number,
  matrix: Matrix,
): string {
  const rest = dims.slice(axis + 1);
  if (sizeOf(rest) === 1) {
    const flat = reshaped(b, x, dims, dims.slice(0, axis + 1));
    const product = b.op("MatMul", [flat, matrix.name(false)]);
    const short = [...dims.slice(0, axis), matrix.columns];
    return reshaped(b, product, short, [...short, ...rest]);
  }
  const grouped = [...dims.slice(0, axis + 1), sizeOf(rest)];
  const product = b.op("MatMul", [matrix.name(true), reshaped(b, x, dims, grouped)]);
  return reshaped(
    b,
    product,
    [...dims.slice(0, axis), matrix.columns, sizeOf(rest)],
    [...dims.slice(0, axis), matrix.columns, ...rest],
  );
}
