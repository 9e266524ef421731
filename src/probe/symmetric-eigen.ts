import { identity, type Matrix, matrix } from "./matrix.ts";

const mostSweeps = 30;

/**
 * All eigenvalues of a small symmetric matrix, the largest first, and their vectors as columns, n × n: cyclic Jacobi (Golub and
 * Van Loan, Matrix Computations, 8.5). Takes some n³ operations per sweep, and under ten sweeps.
 */
export function symmetricEigen(a: Matrix): { readonly values: Float64Array; readonly vectors: Matrix } {
  const n = a.rows;
  const A = a.data.slice();
  const V = identity(n).data;
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let outside = 0;
    let diagonal = 0;
    for (let i = 0; i < n; i++) {
      diagonal += A[i * (n + 1)] ** 2;
      for (let j = i + 1; j < n; j++) outside += A[i * n + j] ** 2;
    }
    if (outside <= 1e-24 * diagonal) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(A, V, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => A[j * (n + 1)] - A[i * (n + 1)]);
  const vectors = matrix(n, n);
  for (const [k, own] of order.entries())
    for (let i = 0; i < n; i++) vectors.data[i * n + k] = V[i * n + own];
  return { values: Float64Array.from(order, (own) => A[own * (n + 1)]), vectors };
}

/** Makes A_pq zero by a rotation of rows and columns p and q, which V collects. */
function rotate(A: Float64Array, V: Float64Array, n: number, p: number, q: number): void {
  const off = A[p * n + q];
  if (off === 0) return;
  const theta = (A[q * (n + 1)] - A[p * (n + 1)]) / (2 * off);
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const [x, y] = [A[k * n + p], A[k * n + q]];
    A[k * n + p] = c * x - s * y;
    A[k * n + q] = s * x + c * y;
  }
  for (let k = 0; k < n; k++) {
    const [x, y] = [A[p * n + k], A[q * n + k]];
    A[p * n + k] = c * x - s * y;
    A[q * n + k] = s * x + c * y;
    const [u, v] = [V[k * n + p], V[k * n + q]];
    V[k * n + p] = c * u - s * v;
    V[k * n + q] = s * u + c * v;
  }
}
