import { describe, expect, it } from "vitest";
import { calibrationOf } from "../../src/probe/calibration.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm, jsProduct } from "../../src/probe/gemm.ts";
import { matrix, transpose } from "../../src/probe/matrix.ts";
import { fitSubspace, noveltyOf, residualsOf } from "../../src/probe/novelty.ts";
import { principalVectors } from "../../src/probe/principal.ts";
import { probeOf } from "../../src/probe/probe.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { symmetricEigen } from "../../src/probe/symmetric-eigen.ts";
import { seededRandom } from "../../src/random.ts";
import { randomMatrix } from "../support/matrices.ts";

describe("eigenvectors", () => {
  const B = randomMatrix(30, 12, 5);
  const A = jsProduct(B, B, { transA: true });

  it("of a symmetric matrix are orthonormal, and their outer products over the eigenvalues give it back", () => {
    const { values, vectors } = symmetricEigen(A);
    const product = jsProduct(vectors, vectors, { transA: true });
    for (let i = 0; i < 12; i++) {
      for (let j = 0; j < 12; j++) expect(product.data[i * 12 + j]).toBeCloseTo(i === j ? 1 : 0, 10);
    }
    const weighed = matrix(
      12,
      12,
      vectors.data.map((x, at) => x * values[at % 12]),
    );
    const back = jsProduct(weighed, transpose(vectors));
    for (const [at, value] of back.data.entries()) expect(value).toBeCloseTo(A.data[at], 8);
    expect([...values]).toEqual([...values].sort((a, b) => b - a));
  });

  it("of the largest eigenvalues are found alone, and no more than the matrix has rank", async () => {
    // Rank 3 of 40 rows: squares of lengths are the eigenvalues of both products.
    const C = randomMatrix(40, 3, 6);
    const { vectors, values } = await principalVectors(jsProduct(C, C, { transB: true }), 8, jsGemm);
    const exact = symmetricEigen(jsProduct(C, C, { transA: true })).values;
    expect([...values]).toHaveLength(3);
    for (const [k, value] of values.entries()) expect(value).toBeCloseTo(exact[k], 8);
    const along = jsProduct(C, vectors, { transA: true });
    // CᵀU has columns of squared length e.
    for (let k = 0; k < 3; k++) {
      const square = [0, 1, 2].reduce((sum, i) => sum + along.data[i * 3 + k] ** 2, 0);
      expect(square).toBeCloseTo(exact[k], 8);
    }
  });
});

describe("novelty", () => {
  const [d, inner, classes] = [40, 6, 3];
  const ways = randomMatrix(inner, d, 9);
  const random = seededRandom(3, "novelty");
  /** Rows that vary in six directions about the centers of three classes, with a little noise in all others. */
  const familiar = (count: number) => {
    const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
    const inside = matrix(
      count,
      inner,
      Float64Array.from({ length: count * inner }, () => random.normal()),
    );
    for (let i = 0; i < count; i++) inside.data[i * inner + labels[i]] += 4;
    const { data } = jsProduct(inside, ways);
    return { labels, features: Float32Array.from(data, (x) => x + 0.3 * random.normal()) };
  };
  const probe = {
    weight: transpose(
      matrix(
        classes,
        d,
        ways.data.slice(0, classes * d).map((x) => x / d),
      ),
    ),
    map: featureMap({ normalization: "none" }),
    lambda: 1,
  };
  const rowsOf = (features: Float32Array) => matrix(features.length / d, d, Float64Array.from(features));
  const fittedOn = async (count: number) => {
    const { labels, features } = familiar(count);
    const rows = Int32Array.from({ length: count }, (_, i) => i);
    const measured = await fitSubspace(featuresInMemory(features, labels), rows, jsGemm);
    const scores = probeOf(probe).scores(rowsOf(features));
    const calibration = calibrationOf(scores, labels, measured);
    return { measured, calibration, probe: probeOf(probe, calibration, calibration.novelty) };
  };

  it.each([200, 500])(
    "takes about one in twenty unseen rows like those it was fitted on for new (%i rows), and nearly all that point elsewhere",
    async (count) => {
      const { probe: own, calibration } = await fittedOn(count);
      expect(calibration.falseAlarms).toBeCloseTo(0.05, 6);
      const like = own.unknown(rowsOf(familiar(2000).features)).filter(Boolean).length / 2000;
      // The threshold is a sample's percentile: of 200 rows its standard error is 1.5 points.
      expect(like).toBeGreaterThan(0.01);
      expect(like).toBeLessThan(0.1);
      const other = Float32Array.from({ length: 500 * d }, () => 3 * random.normal());
      expect(own.unknown(rowsOf(other)).filter(Boolean).length / 500).toBeGreaterThan(0.95);
    },
  );

  it("measures rows of the fit by the others, so that their residuals are those of unseen rows", async () => {
    const { measured } = await fittedOn(100);
    const mean = (values: Float64Array) => values.reduce((sum, x) => sum + x, 0) / values.length;
    const unseen = mean(residualsOf(measured.subspace, rowsOf(familiar(2000).features)));
    expect(mean(measured.residuals) / unseen).toBeGreaterThan(0.85);
    expect(mean(measured.residuals) / unseen).toBeLessThan(1.2);
  });

  it("is the weighted sum of both parts in standard deviations: 0 for the mean training image", () => {
    const levels = { residualMean: 0.4, residualDeviation: 0.1, bestMean: 0.7, bestDeviation: 0.2 };
    const found = noveltyOf(levels, Float64Array.of(0.4, 0.6), Float64Array.of(0.7, 0.3));
    expect(found[0]).toBeCloseTo(0, 12);
    expect(found[1]).toBeCloseTo(2 + 0.5 * 2, 12);
  });

  it("is there for two images, and for equal ones", async () => {
    for (const features of [Float32Array.of(1, 2, 3, 4), Float32Array.of(1, 2, 1, 2)]) {
      const train = featuresInMemory(features, Int32Array.of(0, 1));
      const { subspace, residuals } = await fitSubspace(train, Int32Array.of(0, 1), jsGemm);
      expect([...residuals].every(Number.isFinite)).toBe(true);
      expect([...residualsOf(subspace, matrix(1, 2, Float64Array.of(0, 5)))].every(Number.isFinite)).toBe(
        true,
      );
    }
  });
});
