import { describe, expect, it } from "vitest";
import { featureMap } from "../../src/probe/feature-map.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { probeOf } from "../../src/probe/probe.ts";

// Two features, three classes; rows of length 5 and 13 divide to hundredths.
const weight = matrix(2, 3, Float64Array.of(1, 0, -1, 0, 1, 1));
const features = matrix(2, 2, Float64Array.of(3, 4, -12, 5));

describe("a probe that classifies", () => {
  it("scores features after its map: each row divided by its norm, times the weight", () => {
    const { scores } = probeOf({ weight, map: featureMap({ normalization: "l2" }), lambda: 1 });
    const { rows, cols, data } = scores(features);
    expect([rows, cols]).toEqual([2, 3]);
    const expected = [3 / 5, 4 / 5, 1 / 5, -12 / 13, 5 / 13, 17 / 13];
    for (const [i, x] of expected.entries()) expect(data[i]).toBeCloseTo(x, 12);
  });

  it("predicts the class of the highest score, and measures the share that is right", () => {
    const map = featureMap({
      normalization: "standardize",
      mean: Float64Array.of(1, 1),
      std: Float64Array.of(2, 1),
    });
    const probe = probeOf({ weight, map, lambda: 1 });
    // (3, 4) becomes (1, 3) with scores (1, 3, 2); (−12, 5) becomes (−6.5, 4) with scores (−6.5, 4, 10.5).
    expect([...probe.predict(features)]).toEqual([1, 2]);
    expect(probe.score(features, [1, 2])).toBe(1);
    expect(probe.score(features, [1, 0])).toBe(0.5);
  });

  it("refuses features of another size, and labels of another number", () => {
    const probe = probeOf({ weight, map: featureMap({ normalization: "none" }), lambda: 1 });
    expect(() => probe.scores(matrix(1, 3))).toThrow(/takes features n × 2, got 1 × 3/);
    expect(() => probe.score(features, [1])).toThrow(/2 rows of features need as many labels, got 1/);
  });
});
