import { seededRandom } from "../random.ts";
import { type Gemm, jsProduct } from "./gemm.ts";
import { type Matrix, matrix } from "./matrix.ts";
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
  let V = matrix(
    n,
    width,
    Float64Array.from({ length: n * width }, () => random.normal()),
  );
  orthonormalize(V);
  for (let round = 0; round < rounds; round++) {
    V = await gemm.multiply(K, V);
    orthonormalize(V);
  }
  const { values, vectors } = symmetricEigen(jsProduct(V, await gemm.multiply(K, V), { transA: true }));
  let count = 0;
  while (count < Math.min(most, width) && values[count] > negligible * values[0]) count++;
  const turn = matrix(width, count);
  for (let i = 0; i < width; i++) {
    turn.data.set(vectors.data.subarray(i * width, i * width + count), i * count);
  }
  return { vectors: jsProduct(V, turn), values: values.slice(0, count) };
}

/** Makes columns orthonormal in place: Gram–Schmidt, twice. A column within the span of those before becomes zero. */
function orthonormalize({ rows, cols, data }: Matrix): void {
  const lengthOf = (c: number): number => {
    let square = 0;
    for (let i = c; i < rows * cols; i += cols) square += data[i] ** 2;
    return Math.sqrt(square);
  };
  for (let c = 0; c < cols; c++) {
    const before = lengthOf(c);
    for (let pass = 0; pass < 2; pass++) {
      for (let b = 0; b < c; b++) {
        let along = 0;
        for (let i = 0; i < rows * cols; i += cols) along += data[i + b] * data[i + c];
        for (let i = 0; i < rows * cols; i += cols) data[i + c] -= along * data[i + b];
      }
    }
    const after = lengthOf(c);
    const factor = after > 1e-10 * before ? 1 / after : 0;
    for (let i = c; i < rows * cols; i += cols) data[i] *= factor;
  }
}
