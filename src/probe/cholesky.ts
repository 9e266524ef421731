import { NumericalError } from "../errors.ts";
import type { Gemm } from "./gemm.ts";
import { addGram } from "./gram.ts";
import { blockOf, type Matrix, matrix, rowsOf, shapeOf, transpose } from "./matrix.ts";

/** The factorisation of a symmetric positive definite n × n matrix, ready to solve with. */
export interface Cholesky {
  readonly size: number;
  /** The lower triangular factor L (n × n, zero above the diagonal), A = L Lᵀ. */
  readonly factor: Matrix;
  /** X with A X = b, for b of shape n × k, in new memory. */
  solve(b: Matrix): Promise<Matrix>;
}

export interface CholeskyOptions {
  /** Added to the diagonal before factorising, default 0. */
  readonly shift?: number;
  /** Rows per block: within a block plain loops, between blocks matrix products. Default 64. */
  readonly blockSize?: number;
}

/**
 * Factorises `a + shift · I` in float64, reading the lower triangle of `a` (n × n) alone and leaving `a` as it
 * is. Blocks are halved recursively, so that nearly all work is large matrix products; the triangular solves
 * multiply by inverted diagonal blocks (as GPU libraries do) instead of substituting row by row.
 *
 * Throws NumericalError when the matrix is not positive definite to working precision: a pivot that is not
 * above the rounding error of its own diagonal element.
 */
export async function cholesky(a: Matrix, gemm: Gemm, options: CholeskyOptions = {}): Promise<Cholesky> {
  const { shift = 0, blockSize = 64 } = options;
  if (a.rows !== a.cols)
    throw new RangeError(`a Cholesky factorisation needs a square matrix, got ${shapeOf(a)}`);
  const n = a.rows;
  const factor = matrix(n, n);
  const diagonal = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    factor.data.set(a.data.subarray(i * n, i * n + i + 1), i * n);
    factor.data[i * n + i]! += shift;
    diagonal[i] = factor.data[i * n + i]!;
  }
  const inverses: Matrix[] = [];
  const state: State = { factor, diagonal, inverses, blockSize, gemm };
  await factorize(state, 0, Math.ceil(n / blockSize));
  return {
    size: n,
    factor,
    async solve(b) {
      if (b.rows !== n)
        throw new RangeError(`a system of size ${n} has no right-hand side of shape ${shapeOf(b)}`);
      const x = matrix(b.rows, b.cols, b.data.slice());
      await solveLower(state, x, 0);
      await solveUpper(state, x);
      return x;
    },
  };
}

interface State {
  /** Lower triangle: A at first, L in the end. */
  readonly factor: Matrix;
  /** The diagonal of A. */
  readonly diagonal: Float64Array;
  /** The inverse of each diagonal block of L. */
  readonly inverses: Matrix[];
  readonly blockSize: number;
  readonly gemm: Gemm;
}

/** Factorises the diagonal part made of the blocks `first` … `first + count − 1`, in place. */
async function factorize(state: State, first: number, count: number): Promise<void> {
  const { factor, blockSize, gemm } = state;
  const start = first * blockSize;
  const end = Math.min(factor.rows, start + count * blockSize);
  if (count <= 1) {
    factorizeBlock(state, start, end);
    state.inverses[first] = invertBlock(factor, start, end);
    return;
  }
  // [A₁₁    ]   L₁₁ = chol(A₁₁),  L₂₁ᵀ = L₁₁⁻¹ A₂₁ᵀ,  L₂₂ = chol(A₂₂ − L₂₁ L₂₁ᵀ)
  // [A₂₁ A₂₂]
  const half = Math.ceil(count / 2);
  const middle = start + half * blockSize;
  await factorize(state, first, half);
  const transposed = transpose(blockOf(factor, middle, start, end - middle, middle - start));
  await solveLower(state, transposed, first);
  const below = transpose(transposed);
  for (let i = middle; i < end; i++) {
    factor.data.set(rowsOf(below, i - middle, i - middle + 1).data, i * factor.cols + start);
  }
  await addGram(factor, below, gemm, middle, -1);
  await factorize(state, first + half, count - half);
}

/** Replaces x by L⁻¹ x, L being the diagonal part of the factor that starts at block `first` and has x's rows. */
async function solveLower(state: State, x: Matrix, first: number): Promise<void> {
  const { factor, blockSize, gemm } = state;
  const origin = first * blockSize;
  for (let i0 = 0; i0 < x.rows; i0 += blockSize) {
    const i1 = Math.min(x.rows, i0 + blockSize);
    const rows = rowsOf(x, i0, i1);
    let rest = rows;
    if (i0 > 0) {
      const left = blockOf(factor, origin + i0, origin, i1 - i0, i0);
      rest = await gemm.multiply(left, rowsOf(x, 0, i0), { alpha: -1, plus: rows });
    }
    const inverse = state.inverses[first + i0 / blockSize]!;
    rows.data.set((await gemm.multiply(inverse, rest)).data);
  }
}

/** Replaces x by L⁻ᵀ x for the whole factor. */
async function solveUpper(state: State, x: Matrix): Promise<void> {
  const { factor, blockSize, gemm } = state;
  const n = factor.rows;
  for (let block = Math.ceil(n / blockSize) - 1; block >= 0; block--) {
    const i0 = block * blockSize;
    const i1 = Math.min(n, i0 + blockSize);
    const rows = rowsOf(x, i0, i1);
    let rest = rows;
    if (i1 < n) {
      const below = blockOf(factor, i1, i0, n - i1, i1 - i0);
      rest = await gemm.multiply(below, rowsOf(x, i1, n), { transA: true, alpha: -1, plus: rows });
    }
    rows.data.set((await gemm.multiply(state.inverses[block]!, rest, { transA: true })).data);
  }
}

/** Rows `start` … `end − 1` of the factor: row by row, each dot product along contiguous rows. */
function factorizeBlock(state: State, start: number, end: number): void {
  const { factor, diagonal } = state;
  const { data, cols: n } = factor;
  for (let i = start; i < end; i++) {
    const row = i * n;
    for (let j = start; j < i; j++) {
      const other = j * n;
      let sum = data[row + j]!;
      for (let k = start; k < j; k++) sum -= data[row + k]! * data[other + k]!;
      data[row + j] = sum / data[other + j]!;
    }
    let pivot = data[row + i]!;
    for (let k = start; k < i; k++) pivot -= data[row + k]! * data[row + k]!;
    // What is left after subtraction from the diagonal element is only rounding error below its own epsilon.
    if (!(pivot > 4 * Number.EPSILON * diagonal[i]!)) throw notPositiveDefinite(i, n, pivot, diagonal[i]!);
    data[row + i] = Math.sqrt(pivot);
  }
}

function notPositiveDefinite(index: number, size: number, pivot: number, diagonal: number): NumericalError {
  return new NumericalError(
    `the ${size} × ${size} ridge system is not positive definite: pivot ${index + 1} of ${size} is ${pivot} ` +
      `(its diagonal element was ${diagonal}). ` +
      "Raise lambda, or look for repeated, all-zero or non-finite feature rows.",
  );
}

/** The inverse of a diagonal block of L, lower triangular. */
function invertBlock(factor: Matrix, start: number, end: number): Matrix {
  const { data, cols: n } = factor;
  const size = end - start;
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    const row = (start + i) * n + start;
    const scale = 1 / data[row + i]!;
    // Row i of L⁻¹ = (eᵢ − Σ_{k<i} L_ik · row k of L⁻¹) / L_ii.
    for (let k = 0; k < i; k++) {
      const weight = -data[row + k]! * scale;
      for (let j = 0; j <= k; j++) inverse[i * size + j]! += weight * inverse[k * size + j]!;
    }
    inverse[i * size + i] = scale;
  }
  return matrix(size, size, inverse);
}
