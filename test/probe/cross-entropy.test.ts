import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crossEntropy, softmaxRows } from "../../src/probe/cross-entropy.ts";
import { accuracyOf, argmaxRows } from "../../src/probe/labels.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { relativeError } from "../support/check-rule.ts";
import { numericGradient, randomMatrix } from "../support/matrices.ts";

describe("crossEntropy", () => {
  it("is the mean of −log softmax at the label, with the gradient of central differences", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 2, max: 6 }),
        fc.integer(),
        async (n, classes, seed) => {
          const scores = randomMatrix(n, classes, seed, 3);
          const labels = Int32Array.from({ length: n }, (_, i) => (i * 7 + (seed & 3)) % classes);
          let expected = 0;
          for (let i = 0; i < n; i++) {
            const row = scores.data.subarray(i * classes, (i + 1) * classes);
            const total = row.reduce((s, x) => s + Math.exp(x), 0);
            expected -= Math.log(Math.exp(row[labels[i]!]) / total) / n;
          }
          const { loss, gradient } = crossEntropy(scores, labels);
          expect(loss).toBeCloseTo(expected, 12);
          const numeric = await numericGradient(async (s) => crossEntropy(s, labels).loss, scores);
          expect(relativeError(gradient.data, numeric)).toBeLessThan(1e-8);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("stays finite for scores whose exponentials overflow or vanish", () => {
    const { loss, gradient } = crossEntropy(matrix(2, 2, Float64Array.of(1e4, -1e4, 1e4, -1e4)), [0, 1]);
    expect(loss).toBe(1e4);
    expect([...gradient.data]).toEqual([0, 0, 0.5, -0.5]);
  });
});

it("softmax rows sum to one", () => {
  const p = randomMatrix(4, 5, 1, 50);
  softmaxRows(p);
  for (let i = 0; i < 4; i++) {
    expect(p.data.subarray(i * 5, i * 5 + 5).reduce((s, x) => s + x, 0)).toBeCloseTo(1, 14);
  }
});

it("argmax takes the first of equal scores, and accuracy counts it", () => {
  const scores = matrix(3, 3, Float64Array.of(1, 3, 3, 0, 0, 0, -1, -2, -0.5));
  expect([...argmaxRows(scores)]).toEqual([1, 0, 2]);
  expect(accuracyOf(scores, [1, 1, 2])).toBeCloseTo(2 / 3, 15);
});
