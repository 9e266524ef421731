import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { featureMap } from "../../src/probe/feature-map.ts";
import { fitFullData } from "../../src/probe/full-data.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { splitOf } from "../../src/probe/split.ts";
import { seededRandom } from "../../src/random.ts";
import { relativeError } from "../support/check-rule.ts";

/** Labels as an image folder has them: class after class. */
const inFolders = (counts: readonly number[]) =>
  Int32Array.from(counts.flatMap((count, label) => Array<number>(count).fill(label)));
const rows = (count: number) => Array.from({ length: count }, (_, i) => i);
const countOf = (part: readonly number[], labels: Int32Array, label: number) =>
  part.filter((i) => labels[i] === label).length;

describe("splitOf", () => {
  it("holds a tenth of each class out of few rows, one at least of every class that has two", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 8 }), (counts) => {
        fc.pre(counts.some((count) => count > 1));
        const labels = inFolders(counts);
        const { fit, held } = splitOf(labels, 10, "test");
        for (const [label, count] of counts.entries()) {
          const expected = count === 1 ? 0 : Math.max(1, Math.round(count / 10));
          expect(countOf(held, labels, label)).toBe(expected);
        }
        expect([...fit, ...held].sort((a, b) => a - b)).toEqual(rows(labels.length));
        for (const part of [fit, held]) expect(part).toEqual([...part].sort((a, b) => a - b));
      }),
    );
  });

  it("is the same each time, and another for another purpose", () => {
    const labels = inFolders([100, 100]);
    expect(splitOf(labels, 10, "a")).toEqual(splitOf(labels, 10, "a"));
    expect(splitOf(labels, 10, "b")).not.toEqual(splitOf(labels, 10, "a"));
  });

  it("leaves both parts whole where no class has two rows", () => {
    expect(splitOf(inFolders([1, 1, 1]), 10, "test")).toEqual({ fit: [0, 1, 2], held: [0, 1, 2] });
  });

  // Published tables rest on these draws.
  it.each([
    ["full-data validation", 10],
    ["learning rate validation", 12],
  ])("draws each of many rows by itself: %s, one in %d", (purpose, share) => {
    const labels = inFolders([1500, 1501]);
    const random = seededRandom(0, purpose);
    const expected = rows(3001).filter(() => random.uniform() < 1 / share);
    const { fit, held } = splitOf(labels, share, purpose);
    expect(held).toEqual(expected);
    expect(fit).toEqual(rows(3001).filter((i) => !expected.includes(i)));
  });
});

describe("fitFullData", () => {
  const map = featureMap({ normalization: "none" });
  const d = 4;

  /** Features around a corner for each class. */
  function around(labels: Int32Array, noise: number) {
    const random = seededRandom(1, "full data");
    return Float32Array.from(
      { length: labels.length * d },
      (_, k) => (k % d === labels[Math.floor(k / d)] ? 1 : 0) + noise * random.normal(),
    );
  }

  it.each([
    ["the largest of equally good λ with a few images a class", [16, 16, 16], 10],
    ["the largest of equally good λ with one image a class", [1, 1, 1], 10],
    ["the largest of equally good λ with many images", [700, 700, 700], 10],
  ])("takes %s, and solves on every row", async (_, counts, chosen) => {
    const labels = inFolders(counts);
    const features = around(labels, 0.01);
    const { lambda, weight } = await fitFullData(featuresInMemory(features, labels), 3, map, jsGemm);
    expect(lambda).toBe(chosen);
    const all = matrix(labels.length, d, Float64Array.from(features));
    const expected = await solveRidge(all, centeredOneHot(labels, 3), { lambda, space: "feature" });
    expect(relativeError(weight.data, expected.weight.data)).toBeLessThan(1e-9);
  });
});
