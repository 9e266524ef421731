import { inverseFactor } from "./cholesky-block.ts";
import type { Gemm } from "./gemm.ts";
import { gram } from "./gram.ts";
import { type Matrix, matrix, rowsOf, shapeOf } from "./matrix.ts";
import { diagonal, halved, isHalved, type Nested } from "./nested.ts";

/** The factorisation of a symmetric positive definite n × n matrix, ready to solve with. */
export interface Cholesky {
  readonly size: number;
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
 * Factorises `a + shift · I` = Rᵀ R in float64, R upper triangular, leaving `a` as it is. Blocks are halved
 * recursively, so that nearly all work is large matrix products; the triangular solves multiply by inverted
 * diagonal blocks (as GPU libraries do) instead of substituting row by row.
 *
 * Throws NumericalError when the matrix is not positive definite to working precision: a pivot that is not
 * above the rounding error of its own diagonal element.
 */
export async function cholesky(a: Nested, gemm: Gemm, options: CholeskyOptions = {}): Promise<Cholesky> {
  const { shift = 0, blockSize = 64 } = options;
  if ("cols" in a && a.rows !== a.cols)
    throw new RangeError(`a Cholesky factorisation needs a square matrix, got ${shapeOf(a)}`);
  const state = { diagonal: diagonal(a).map((x) => x + shift), shift, blockSize, gemm };
  const factor = await factorize(state, a, 0);
  return {
    size: a.rows,
    async solve(b) {
      if (b.rows !== a.rows)
        throw new RangeError(`a system of size ${a.rows} has no right-hand side of shape ${shapeOf(b)}`);
      const [y, x] = [matrix(b.rows, b.cols), matrix(b.rows, b.cols)];
      await forward(factor, b, y, gemm);
      await backward(factor, y, x, gemm);
      return x;
    },
  };
}

interface State {
  /** The diagonal of A + shift · I, whole. */
  readonly diagonal: Float64Array;
  readonly shift: number;
  readonly blockSize: number;
  readonly gemm: Gemm;
}

/** The factor of the diagonal part `a` that begins at row `start`: R, with R⁻¹ in the place of what is not halved. */
async function factorize(state: State, a: Nested, start: number): Promise<Nested> {
  const { shift, blockSize, gemm } = state;
  const { rows } = a;
  if (rows <= blockSize && !isHalved(a)) {
    return inverseFactor(a, shift, state.diagonal, start);
  }
  // [A₁₁ A₁₂]   R₁₁ = chol(A₁₁),  R₁₂ = R₁₁⁻ᵀ A₁₂,  R₂₂ = chol(A₂₂ − R₁₂ᵀ R₁₂)
  // [ ·  A₂₂]
  const parts = halved(a);
  const head = await factorize(state, parts.head, start);
  const cross = matrix(parts.cross.rows, parts.cross.cols);
  await forward(head, parts.cross, cross, gemm);
  const rest = await gram(cross, gemm, { of: "columns", alpha: -1, plus: parts.tail });
  const tail = await factorize(state, rest, start + head.rows);
  return { rows, head, cross, tail };
}

/** Writes R⁻ᵀ b into x. */
async function forward(factor: Nested, b: Matrix, x: Matrix, gemm: Gemm): Promise<void> {
  if (!isHalved(factor)) {
    await gemm.multiply(factor, b, { transA: true, into: x });
    return;
  }
  const { head, cross, tail } = factor;
  const [first, second] = inHalves(x, head.rows);
  const [above, below] = inHalves(b, head.rows);
  await forward(head, above, first, gemm);
  const rest = await gemm.multiply(cross, first, { transA: true, alpha: -1, plus: below });
  await forward(tail, rest, second, gemm);
}

/** Writes R⁻¹ b into x. */
async function backward(factor: Nested, b: Matrix, x: Matrix, gemm: Gemm): Promise<void> {
  if (!isHalved(factor)) {
    await gemm.multiply(factor, b, { into: x });
    return;
  }
  const { head, cross, tail } = factor;
  const [first, second] = inHalves(x, head.rows);
  const [above, below] = inHalves(b, head.rows);
  await backward(tail, below, second, gemm);
  const rest = await gemm.multiply(cross, second, { alpha: -1, plus: above });
  await backward(head, rest, first, gemm);
}

const inHalves = (a: Matrix, half: number): [Matrix, Matrix] => [rowsOf(a, 0, half), rowsOf(a, half, a.rows)];
