import type { Gemm } from "./gemm.ts";
import { type Matrix, matrix, rowsOf } from "./matrix.ts";

/** Rows per strip: wide enough for a product at full speed, narrow enough that little is computed twice. */
const strip = 256;

/**
 * The products of all pairs of rows, `x xᵀ` (rows × rows), for a row-major `x`. Computed strip by strip up to
 * the diagonal and mirrored, so it costs little more than half a general product.
 */
export async function gram(x: Matrix, gemm: Gemm): Promise<Matrix> {
  const n = x.rows;
  if (n <= strip) return gemm.multiply(x, x, { transB: true });
  const out = matrix(n, n);
  await addGram(out, x, gemm);
  mirror(out);
  return out;
}

/** Adds the lower triangle of `scale · x xᵀ` to the block of `target` whose diagonal starts at `start`. */
export async function addGram(target: Matrix, x: Matrix, gemm: Gemm, start = 0, scale = 1): Promise<void> {
  for (let i0 = 0; i0 < x.rows; i0 += strip) {
    const i1 = Math.min(x.rows, i0 + strip);
    const product = await gemm.multiply(rowsOf(x, i0, i1), rowsOf(x, 0, i1), { transB: true });
    for (let i = i0; i < i1; i++) {
      const from = (i - i0) * i1;
      const to = (start + i) * target.cols + start;
      for (let j = 0; j <= i; j++) target.data[to + j]! += scale * product.data[from + j]!;
    }
  }
}

/** Copies the lower triangle of a square matrix into its upper one. */
export function mirror(a: Matrix): void {
  const { rows: n, data } = a;
  const tile = 32;
  for (let i0 = 0; i0 < n; i0 += tile) {
    const i1 = Math.min(n, i0 + tile);
    for (let j0 = 0; j0 <= i0; j0 += tile) {
      for (let i = i0; i < i1; i++) {
        const end = Math.min(j0 + tile, i);
        for (let j = j0; j < end; j++) data[j * n + i] = data[i * n + j]!;
      }
    }
  }
}

/** Σ of the diagonal of a square matrix. */
export function trace(a: Matrix): number {
  let sum = 0;
  for (let i = 0; i < a.rows; i++) sum += a.data[i * a.cols + i]!;
  return sum;
}
