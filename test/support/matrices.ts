import type { BatchRows, FeatureProduct } from "../../src/probe/batch-rows.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { randomNumbers } from "./check-rule.ts";

/** A rows × cols matrix of numbers in (−scale, scale). */
export function randomMatrix(rows: number, cols: number, seed: number, scale = 1): Matrix {
  const random = randomNumbers(seed);
  return matrix(
    rows,
    cols,
    Float64Array.from({ length: rows * cols }, () => scale * random()),
  );
}

/** op(a) op(b) by the definition, for checking faster ways. */
export function naiveProduct(a: Matrix, b: Matrix, transA = false, transB = false): Matrix {
  const [rows, inner] = transA ? [a.cols, a.rows] : [a.rows, a.cols];
  const cols = transB ? b.rows : b.cols;
  const out = matrix(rows, cols);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      let sum = 0;
      for (let p = 0; p < inner; p++) {
        const x = transA ? a.data[p * a.cols + i] : a.data[i * a.cols + p];
        const y = transB ? b.data[j * b.cols + p] : b.data[p * b.cols + j];
        sum += x * y;
      }
      out.data[i * cols + j] = sum;
    }
  }
  return out;
}

/** The rows of a matrix, in double. */
export const matrixRows = (Z: Matrix): BatchRows => ({
  multiply: (W) => jsGemm.multiply(Z, W),
  transposeMultiply: (G) => jsGemm.multiply(Z, G, { transA: true }),
});

/** Products of features in double. */
export const productInDouble: FeatureProduct = (X, rows, B, transposed) =>
  jsGemm.multiply(matrix(rows, X.length / rows, Float64Array.from(X)), B, { transA: transposed });

/** The unit matrix. */
export function identity(n: number): Matrix {
  const out = matrix(n, n);
  for (let i = 0; i < n; i++) out.data[i * n + i] = 1;
  return out;
}

/** dF/dx by central differences of fourth order, one element of `x` at a time. */
export async function numericGradient(
  f: (x: Matrix) => Promise<number>,
  x: Matrix,
  step = 1e-3,
): Promise<Float64Array> {
  const out = new Float64Array(x.data.length);
  for (let i = 0; i < out.length; i++) {
    const at = (offset: number): Promise<number> => {
      const data = x.data.slice();
      data[i] += offset;
      return f(matrix(x.rows, x.cols, data));
    };
    const near = (await at(step)) - (await at(-step));
    const far = (await at(2 * step)) - (await at(-2 * step));
    out[i] = (8 * near - far) / (12 * step);
  }
  return out;
}

/** Thin singular value decomposition a = U diag(s) Vᵀ by one-sided Jacobi rotations, for a with rows ≥ cols. */
export function singularValues(a: Matrix): { U: Matrix; s: Float64Array; V: Matrix } {
  const { rows, cols } = a;
  const U = matrix(rows, cols, a.data.slice());
  const V = identity(cols);
  const rotate = (m: Matrix, p: number, q: number, c: number, s: number): void => {
    for (let i = 0; i < m.rows; i++) {
      const x = m.data[i * cols + p];
      const y = m.data[i * cols + q];
      m.data[i * cols + p] = c * x - s * y;
      m.data[i * cols + q] = s * x + c * y;
    }
  };
  const columnDot = (p: number, q: number): number => {
    let sum = 0;
    for (let i = 0; i < rows; i++) sum += U.data[i * cols + p] * U.data[i * cols + q];
    return sum;
  };
  for (let sweep = 0; sweep < 60; sweep++) {
    for (let p = 0; p < cols; p++) {
      for (let q = p + 1; q < cols; q++) {
        const pq = columnDot(p, q);
        if (pq === 0) continue;
        const zeta = (columnDot(q, q) - columnDot(p, p)) / (2 * pq);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        rotate(U, p, q, c, c * t);
        rotate(V, p, q, c, c * t);
      }
    }
  }
  const s = Float64Array.from({ length: cols }, (_, j) => Math.sqrt(columnDot(j, j)));
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) if (s[j] > 0) U.data[i * cols + j] /= s[j];
  }
  return { U, s, V };
}
