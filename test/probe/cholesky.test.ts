import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NumericalError } from "../../src/errors.ts";
import { cholesky } from "../../src/probe/cholesky.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { gram } from "../../src/probe/gram.ts";
import { type Matrix, matrix, transpose } from "../../src/probe/matrix.ts";
import { isHalved, type Nested } from "../../src/probe/nested.ts";
import { relativeError } from "../support/check-rule.ts";
import { identity, naiveProduct, randomMatrix } from "../support/matrices.ts";

const positiveDefinite = (n: number, seed: number): Matrix => {
  const a = naiveProduct(randomMatrix(n, n + 3, seed), randomMatrix(n, n + 3, seed), false, true);
  for (let i = 0; i < n; i++) a.data[i * n + i] += 0.1;
  return a;
};

describe("cholesky", () => {
  it("inverts the matrix, whatever the block size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer(),
        async (n, blockSize, seed) => {
          const a = positiveDefinite(n, seed);
          const inverse = await (await cholesky(a, jsGemm, { blockSize })).solve(identity(n));
          expect(relativeError(naiveProduct(a, inverse).data, identity(n).data)).toBeLessThan(1e-11);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("takes a matrix that is halved already as it takes the whole", async () => {
    for (const blockSize of [16, 64]) {
      const x = randomMatrix(300, 310, 5);
      const [a, b] = [await gram(x, jsGemm), randomMatrix(300, 4, 6)];
      expect(isHalved(a)).toBe(true);
      const solve = async (from: Nested) => (await cholesky(from, jsGemm, { shift: 1, blockSize })).solve(b);
      expect(relativeError((await solve(a)).data, (await solve(whole(a))).data)).toBeLessThan(1e-12);
    }
  });

  it("solves many right-hand sides with a small residual, and leaves its inputs as they were", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer(),
        async (n, k, blockSize, seed) => {
          const a = positiveDefinite(n, seed);
          const b = randomMatrix(n, k, seed + 1);
          const [keptA, keptB] = [a.data.slice(), b.data.slice()];
          const x = await (await cholesky(a, jsGemm, { blockSize })).solve(b);
          expect(relativeError(naiveProduct(a, x).data, b.data)).toBeLessThan(1e-10);
          expect([a.data, b.data]).toEqual([keptA, keptB]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("stays backward stable on a badly conditioned matrix of many blocks", async () => {
    // The Hilbert matrix plus 1e-10: condition number about 1e10.
    const n = 150;
    const a = matrix(n, n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) a.data[i * n + j] = 1 / (i + j + 1);
    const x = await (await cholesky(a, jsGemm, { shift: 1e-10, blockSize: 32 })).solve(randomMatrix(n, 3, 7));
    const back = naiveProduct(a, x);
    for (let i = 0; i < back.data.length; i++) back.data[i] += 1e-10 * x.data[i];
    const residual = back.data.map((v, i) => v - randomMatrix(n, 3, 7).data[i]);
    // ‖Ax − b‖ ≤ c n ε ‖A‖ ‖x‖, the bound of a backward stable solver; ‖A‖ is below π.
    const bound = 10 * n * Number.EPSILON * Math.PI * norm(x.data);
    expect(norm(residual)).toBeLessThan(bound);
  });

  it("adds the shift to the diagonal", async () => {
    const a = positiveDefinite(9, 4);
    const shifted = matrix(9, 9, a.data.slice());
    for (let i = 0; i < 9; i++) shifted.data[i * 10] += 0.7;
    const [x, y] = [await cholesky(a, jsGemm, { shift: 0.7 }), await cholesky(shifted, jsGemm)];
    const b = randomMatrix(9, 2, 5);
    expect(relativeError((await x.solve(b)).data, (await y.solve(b)).data)).toBeLessThan(1e-13);
  });

  it("names the pivot and the size, and says to raise lambda, when not positive definite", async () => {
    const indefinite = matrix(3, 3, Float64Array.of(2, 0, 0, 0, 1, 2, 0, 2, 1));
    const failure = cholesky(indefinite, jsGemm);
    await expect(failure).rejects.toThrow(NumericalError);
    await expect(failure).rejects.toThrow(/3 × 3.*pivot 3 of 3.*[Rr]aise lambda/s);
    await expect(cholesky(matrix(2, 2), jsGemm)).rejects.toThrow("pivot 1 of 2");
    const broken = matrix(2, 2, Float64Array.of(1, Number.NaN, Number.NaN, 1));
    await expect(cholesky(broken, jsGemm)).rejects.toThrow("pivot 2 of 2");
  });

  it("refuses a pivot that is positive by rounding alone", async () => {
    const nearly = matrix(2, 2, Float64Array.of(1, 1, 1, 1 + 2 * Number.EPSILON));
    await expect(cholesky(nearly, jsGemm)).rejects.toThrow("pivot 2 of 2");
    const enough = matrix(2, 2, Float64Array.of(1, 1, 1, 1 + 8 * Number.EPSILON));
    // The second pivot is 8ε, and so is the determinant.
    const x = await (await cholesky(enough, jsGemm)).solve(matrix(2, 1, Float64Array.of(0, 1)));
    expect(x.data[1] * 8 * Number.EPSILON).toBeCloseTo(1, 12);
  });

  it("refuses a matrix of lower rank, also where rounding leaves a tiny pivot, in any block", async () => {
    for (const blockSize of [2, 5, 64]) {
      const K = await gram(randomMatrix(12, 5, 11), jsGemm);
      await expect(cholesky(K, jsGemm, { blockSize })).rejects.toThrow(/pivot \d+ of 12/);
    }
  });
});

describe("gram", () => {
  it("gives all inner products of rows, or of columns, halved or not, times a factor, added to a matrix", async () => {
    for (const rows of [3, 256, 300]) {
      const [x, y] = [randomMatrix(rows, 7, rows), randomMatrix(rows, 5, 1)];
      const [byRows, other] = [naiveProduct(x, x, false, true), naiveProduct(y, y, false, true)];
      const K = await gram(x, jsGemm);
      expect(relativeError(whole(K).data, byRows.data)).toBeLessThan(1e-14);
      const columns = await gram(transpose(x), jsGemm, { of: "columns" });
      expect(relativeError(whole(columns).data, byRows.data)).toBeLessThan(1e-14);
      const sum = await gram(transpose(y), jsGemm, { of: "columns", alpha: -2, plus: K });
      const expected = byRows.data.map((v, i) => v - 2 * other.data[i]);
      expect(relativeError(whole(sum).data, expected)).toBeLessThan(1e-13);
    }
  });
});

/** A halved symmetric matrix put together again. */
function whole(a: Nested): Matrix {
  if (!isHalved(a)) return a;
  const [head, tail] = [whole(a.head), whole(a.tail)];
  const at = (i: number, j: number): number => {
    const k = head.rows;
    if (i < k && j < k) return head.data[i * k + j];
    if (i >= k && j >= k) return tail.data[(i - k) * tail.cols + j - k];
    return i < k ? a.cross.data[i * a.cross.cols + j - k] : at(j, i);
  };
  const n = a.rows;
  return matrix(
    n,
    n,
    Float64Array.from({ length: n * n }, (_, i) => at(Math.floor(i / n), i % n)),
  );
}

const norm = (x: Float64Array): number => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
