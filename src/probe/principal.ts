import { seededRandom } from "../random.ts";
import type { Gemm } from "./gemm.ts";
import { type Matrix, matrix, rowsOf } from "./matrix.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

/** Rounds of subspace iteration, and directions beyond those that are kept. */
const rounds = 8;
const spare = 8;
/** Eigenvalues below this share of the largest are rounding errors. */
const negligible = 1e-9;

/**
 * The largest eigenvalues of a positive semidefinite matrix (n × n), `most` at most, and their vectors, n × k, by subspace iteration
 * (Golub and Van Loan, Matrix Computations, 8.2.4).
 */
export async function principalVectors(
  K: Matrix,
  most: number,
  gemm: Gemm,
): Promise<{ readonly vectors: Matrix; readonly values: Float64Array }> {
  const n = K.rows;
  const width = Math.min(n, most + spare);
  const random = seededRandom(0, "principal directions");
  // A vector per row: K is symmetric, so that their products with it are rows, too.
  let V = matrix(
    width,
    n,
    Float64Array.from({ length: width * n }, () => random.normal()),
  );
  for (let round = 0; round < rounds; round++) {
    orthonormalize(V, 1);
    V = await gemm.multiply(V, K);
  }
  orthonormalize(V, 2);
  const { values, vectors } = symmetricEigen(
    await gemm.multiply(await gemm.multiply(V, K), V, { transB: true }),
  );
  let count = 0;
  while (count < Math.min(most, width) && values[count] > negligible * values[0]) count++;
  const turn = matrix(width, count);
  for (let i = 0; i < width; i++) {
    turn.data.set(vectors.data.subarray(i * width, i * width + count), i * count);
  }
  return { vectors: await gemm.multiply(V, turn, { transA: true }), values: values.slice(0, count) };
}

/**
 * Makes rows orthonormal in place, by passes of Gram–Schmidt: one keeps them apart, two make them so to the last digit. A row within the
 * span of those before becomes zero.
 */
function orthonormalize(V: Matrix, passes: number): void {
  for (let c = 0; c < V.rows; c++) {
    const own = rowsOf(V, c, c + 1).data;
    const before = lengthOf(own);
    for (let pass = 0; pass < passes; pass++) {
      for (let b = 0; b < c; b++) {
        const other = rowsOf(V, b, b + 1).data;
        let along = 0;
        for (let i = 0; i < own.length; i++) along += other[i] * own[i];
        for (let i = 0; i < own.length; i++) own[i] -= along * other[i];
      }
    }
    const after = lengthOf(own);
    const factor = after > 1e-10 * before ? 1 / after : 0;
    for (let i = 0; i < own.length; i++) own[i] *= factor;
  }
}

const lengthOf = (values: Float64Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
