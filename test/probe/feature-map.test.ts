import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DataError, NumericalError } from "../../src/errors.ts";
import {
  FeatureStatistics,
  featureMap,
  fitFeatureMap,
  type Normalization,
  normalizations,
} from "../../src/probe/feature-map.ts";
import { innerProduct, type Matrix } from "../../src/probe/matrix.ts";
import { relativeError } from "../support/check-rule.ts";
import { numericGradient, randomMatrix } from "../support/matrices.ts";

const float32 = (m: Matrix): Float32Array => Float32Array.from(m.data);

const statisticsOf = (features: Float32Array, d: number): FeatureStatistics => {
  const statistics = new FeatureStatistics(d);
  statistics.add(features);
  return statistics;
};

describe("FeatureStatistics", () => {
  it("gives mean and population deviation of what came in any number of batches", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 30 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 0, max: 30 }),
        fc.integer(),
        (n, d, cut, seed) => {
          const features = float32(randomMatrix(n, d, seed)).map((x) => 50 + x);
          const at = Math.min(cut, n) * d;
          const statistics = new FeatureStatistics(d);
          statistics.add(features.subarray(0, at));
          statistics.add(features.subarray(at));
          expect(statistics.count).toBe(n);
          const [mean, std] = [statistics.mean(), statistics.std()];
          for (let j = 0; j < d; j++) {
            const column = Array.from({ length: n }, (_, i) => features[i * d + j]);
            const mu = column.reduce((s, x) => s + x, 0) / n;
            const variance = column.reduce((s, x) => s + (x - mu) ** 2, 0) / n;
            expect(mean[j]).toBeCloseTo(mu, 10);
            expect(std[j]).toBeCloseTo(Math.sqrt(variance), 10);
          }
        },
      ),
    );
  });

  it("keeps its accuracy where the mean is far larger than the deviation", () => {
    const statistics = new FeatureStatistics(1);
    statistics.add(Float32Array.from({ length: 1000 }, (_, i) => 1e6 + (i % 2)));
    expect(statistics.std()[0]).toBeCloseTo(0.5, 9);
  });

  it("floors the deviation of constant features at a thousandth of the root mean square", () => {
    const features = Float32Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 7 : i % 4));
    const std = statisticsOf(features, 2).std();
    expect(std[1]).toBeCloseTo(1, 12); // 1, 3, 1, 3, …
    expect(std[0]).toBeCloseTo(1e-3 * Math.sqrt(1 / 2), 12);
    expect([...statisticsOf(new Float32Array(12).fill(3), 3).std()]).toEqual([1, 1, 1]);
  });

  it("names a row that is not finite", () => {
    const statistics = statisticsOf(new Float32Array(4), 2);
    const add = () => statistics.add(Float32Array.of(1, 2, 3, Number.POSITIVE_INFINITY));
    expect(add).toThrow(NumericalError);
    expect(() => statisticsOf(new Float32Array([1, 1, Number.NaN, 1]), 2)).toThrow("row 1");
  });
});

describe("feature maps", () => {
  const real = float32(randomMatrix(40, 5, 1)).map((x, i) => 3 + (1 + (i % 5)) * x);
  const statistics = statisticsOf(real, 5);
  const [mean, std] = [statistics.mean(), statistics.std()];
  const definition: Record<Normalization, (x: number[]) => number[]> = {
    none: (x) => x,
    l2: (x) => unit(x),
    "center-l2": (x) => unit(x.map((v, j) => v - mean[j])),
    standardize: (x) => x.map((v, j) => (v - mean[j]) / std[j]),
    "standardize-l2": (x) => unit(x.map((v, j) => (v - mean[j]) / std[j])),
  };
  const unit = (x: number[]): number[] => {
    const norm = Math.sqrt(x.reduce((s, v) => s + v * v, 0));
    return x.map((v) => v / norm);
  };

  it.each(normalizations)("%s is its definition, row by row", (normalization) => {
    const { values } = fitFeatureMap(normalization, statistics).apply(real, 40);
    for (let i = 0; i < 40; i++) {
      const expected = definition[normalization]([...real.subarray(i * 5, i * 5 + 5)]);
      expect(relativeError(values.data.subarray(i * 5, i * 5 + 5), expected)).toBeLessThan(1e-13);
    }
  });

  it.each(normalizations)("%s has the pullback of central differences", async (normalization) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 2, max: 6 }),
        fc.integer(),
        async (rows, d, seed) => {
          const map = fitFeatureMap(normalization, statisticsOf(float32(randomMatrix(9, d, seed + 1, 2)), d));
          const features = randomMatrix(rows, d, seed, 3);
          const cotangent = randomMatrix(rows, d, seed + 2);
          const mapped = map.apply(float32(features), rows);
          // At a norm near zero the map is too curved for differences.
          fc.pre(mapped.norms === undefined || Math.min(...mapped.norms) > 0.3);
          // Differences need doubles where the map takes floats: it copies them into doubles first.
          const value = async (x: Matrix): Promise<number> =>
            innerProduct(cotangent, map.apply(x.data as unknown as Float32Array, rows).values);
          const exact = float32(features);
          const at = { ...features, data: Float64Array.from(exact) };
          const expected = await numericGradient(value, at);
          expect(relativeError(map.pullback(mapped, cotangent).data, expected)).toBeLessThan(1e-6);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("keeps a zero row at zero under l2, and gives it no gradient", () => {
    const map = fitFeatureMap("l2");
    const mapped = map.apply(Float32Array.of(0, 0, 3, 4), 2);
    expect([...mapped.values.data]).toEqual([0, 0, 0.6, 0.8]);
    const back = map.pullback(mapped, randomMatrix(2, 2, 1));
    expect(back.data.subarray(0, 2).every((x) => x === 0)).toBe(true);
  });

  it.each(normalizations)("%s comes back from its written state", (normalization) => {
    const map = fitFeatureMap(normalization, statistics);
    const { mean: m, std: s } = map;
    const written = JSON.stringify({ normalization, mean: m && [...m], std: s && [...s] });
    const read = JSON.parse(written);
    const again = featureMap({
      normalization: read.normalization,
      ...(read.mean ? { mean: Float64Array.from(read.mean) } : {}),
      ...(read.std ? { std: Float64Array.from(read.std) } : {}),
    });
    expect(again.apply(real, 40)).toEqual(map.apply(real, 40));
  });

  it("carries only the statistics it uses", () => {
    const parts = (n: Normalization) => Object.keys(JSON.parse(JSON.stringify(fitFeatureMap(n, statistics))));
    expect(parts("l2")).toEqual(["normalization"]);
    expect(parts("center-l2")).toEqual(["normalization", "mean"]);
    expect(parts("standardize")).toEqual(["normalization", "mean", "std"]);
  });

  it("says what is missing", () => {
    expect(() => fitFeatureMap("standardize")).toThrow(DataError);
    expect(() => fitFeatureMap("center-l2", new FeatureStatistics(3))).toThrow('"center-l2"');
    expect(() => featureMap({ normalization: "standardize", mean })).toThrow("standard deviation");
    expect(() => fitFeatureMap("standardize", statistics).apply(new Float32Array(8), 2)).toThrow("size 5");
  });
});
