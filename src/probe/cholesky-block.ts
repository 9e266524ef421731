import { NumericalError } from "../errors.ts";
import { type Matrix, matrix } from "./matrix.ts";

/**
 * R⁻¹ of a small symmetric positive definite block A + shift · I = Rᵀ R, by plain loops. The block is the
 * diagonal part of a larger matrix that begins at row `start`; `diagonal` is that of the whole, before anything
 * was subtracted from it. Throws NumericalError at a pivot that is not above the rounding error of its element.
 *
 * Two rows by two columns at a time, so that four sums are under way at once; an odd block gets a 1 as its last
 * pivot.
 */
export function inverseFactor(a: Matrix, shift: number, diagonal: Float64Array, start: number): Matrix {
  const n = a.rows;
  const size = n + (n % 2);
  const lower = new Float64Array(size * size);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) lower[i * size + j] = a.data[i * n + j];
    lower[i * size + i] += shift;
  }
  if (size > n) lower[size * size - 1] = 1;
  factorize(lower, size, (index, pivot) => {
    const original = index < n ? diagonal[start + index] : 1;
    // What is left after subtraction from the diagonal element is only rounding error below its own epsilon.
    if (pivot > 4 * Number.EPSILON * original) return Math.sqrt(pivot);
    throw notPositiveDefinite(start + index, diagonal.length, pivot, original);
  });
  const inverse = invertTransposed(lower, size);
  if (size === n) return matrix(n, n, inverse);
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) out.set(inverse.subarray(i * size, i * size + n), i * n);
  return matrix(n, n, out);
}

/** Replaces the lower triangle of A (n × n, n even) by that of L, A = L Lᵀ: L_ij = (A_ij − Σ_{k<j} L_ik L_jk) / L_jj. */
function factorize(l: Float64Array, n: number, root: (index: number, pivot: number) => number): void {
  for (let i = 0; i < n; i += 2) {
    const [row, next] = [i * n, i * n + n];
    for (let j = 0; j < i; j += 2) {
      const [a, b] = [j * n, j * n + n];
      let s00 = l[row + j];
      let s01 = l[row + j + 1];
      let s10 = l[next + j];
      let s11 = l[next + j + 1];
      for (let k = 0; k < j; k++) {
        const x0 = l[row + k];
        const x1 = l[next + k];
        const y0 = l[a + k];
        const y1 = l[b + k];
        s00 -= x0 * y0;
        s01 -= x0 * y1;
        s10 -= x1 * y0;
        s11 -= x1 * y1;
      }
      s00 /= l[a + j];
      s10 /= l[a + j];
      l[row + j] = s00;
      l[next + j] = s10;
      l[row + j + 1] = (s01 - s00 * l[b + j]) / l[b + j + 1];
      l[next + j + 1] = (s11 - s10 * l[b + j]) / l[b + j + 1];
    }
    let s00 = l[row + i];
    let s10 = l[next + i];
    let s11 = l[next + i + 1];
    for (let k = 0; k < i; k++) {
      const x0 = l[row + k];
      const x1 = l[next + k];
      s00 -= x0 * x0;
      s10 -= x1 * x0;
      s11 -= x1 * x1;
    }
    s00 = root(i, s00);
    s10 /= s00;
    l[row + i] = s00;
    l[next + i] = s10;
    l[next + i + 1] = root(i + 1, s11 - s10 * s10);
  }
}

/** T = L⁻ᵀ (n × n, n even), upper triangular: T_jj = 1 / L_jj, T_ji = −(Σ_{j≤k<i} L_ik T_jk) / L_ii. */
function invertTransposed(l: Float64Array, n: number): Float64Array {
  const t = new Float64Array(n * n);
  for (let i = 0; i < n; i += 2) {
    const [row, next] = [i * n, i * n + n];
    const [d0, d1, below] = [1 / l[row + i], 1 / l[next + i + 1], l[next + i]];
    for (let j = 0; j < i; j += 2) {
      const [a, b] = [j * n, j * n + n];
      let s00 = 0;
      let s01 = 0;
      let s10 = 0;
      let s11 = 0;
      for (let k = j; k < i; k++) {
        const x0 = l[row + k];
        const x1 = l[next + k];
        const y0 = t[a + k];
        const y1 = t[b + k];
        s00 += x0 * y0;
        s01 += x0 * y1;
        s10 += x1 * y0;
        s11 += x1 * y1;
      }
      s00 *= -d0;
      s01 *= -d0;
      t[a + i] = s00;
      t[b + i] = s01;
      t[a + i + 1] = -(s10 + below * s00) * d1;
      t[b + i + 1] = -(s11 + below * s01) * d1;
    }
    t[row + i] = d0;
    t[row + i + 1] = -below * d0 * d1;
    t[next + i + 1] = d1;
  }
  return t;
}

function notPositiveDefinite(index: number, size: number, pivot: number, diagonal: number): NumericalError {
  return new NumericalError(
    `the ${size} × ${size} ridge system is not positive definite: pivot ${index + 1} of ${size} is ${pivot} ` +
      `(its diagonal element was ${diagonal}). ` +
      "Raise lambda, or look for repeated, all-zero or non-finite feature rows.",
  );
}
