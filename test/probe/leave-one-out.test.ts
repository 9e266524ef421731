import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { accumulated, leaveOneOut, leftOutRows } from "../../src/probe/leave-one-out.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { randomMatrix } from "../support/matrices.ts";

const without = ({ rows, cols, data }: Matrix, row: number): Matrix =>
  matrix(
    rows - 1,
    cols,
    data.filter((_, at) => Math.floor(at / cols) !== row),
  );

/** Scores of each row by a ridge that is solved anew without it, at the shift of all rows. */
async function refitted(Z: Matrix, Y: Matrix, lambda: number): Promise<Float64Array> {
  const { shift } = await solveRidge(Z, Y, { lambda });
  const out = new Float64Array(Y.data.length);
  for (let i = 0; i < Z.rows; i++) {
    const rest = without(Z, i);
    const norms = rest.data.reduce((sum, x) => sum + x * x, 0);
    const { weight } = await solveRidge(rest, without(Y, i), { lambda: (shift * rest.rows) / norms });
    for (let c = 0; c < Y.cols; c++) {
      for (let j = 0; j < Z.cols; j++)
        out[i * Y.cols + c] += Z.data[i * Z.cols + j] * weight.data[j * Y.cols + c];
    }
  }
  return out;
}

const largestDifference = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

describe("leave-one-out scores", () => {
  it("are those of probes solved anew without each row, with more rows than features and with fewer", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 14 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 2, max: 4 }),
        fc.constantFrom(0.01, 0.1, 1),
        fc.integer(),
        async (n, d, classes, lambda, seed) => {
          // As cached features are: in single precision.
          const features = Float32Array.from(randomMatrix(n, d, seed).data);
          const Z = matrix(n, d, Float64Array.from(features));
          const labels = Int32Array.from({ length: n }, (_, i) => i % classes);
          const Y = centeredOneHot(labels, classes);
          const expected = await refitted(Z, Y, lambda);
          const inMemory = await leaveOneOut(Z, Y, lambda, jsGemm);
          expect(largestDifference(inMemory.scores.data, expected)).toBeLessThan(1e-8);

          const train = featuresInMemory(features, labels);
          const map = featureMap({ normalization: "none" });
          const sums = await accumulated(train, classes, map, jsGemm);
          const ridge = await sums.factor(lambda);
          for await (const batch of leftOutRows(ridge, train, map, jsGemm)) {
            expect(largestDifference(batch.scores.data, expected)).toBeLessThan(1e-8);
            expect(largestDifference(batch.leverages, inMemory.leverages)).toBeLessThan(1e-8);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
