import { describe, expect, it } from "vitest";
import { calibrate, fitTemperature } from "../../src/probe/calibration.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { CalibrationError, softmaxRows } from "../../src/probe/probabilities.ts";
import { probeOf } from "../../src/probe/probe.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { randomMatrix } from "../support/matrices.ts";

describe("the temperature", () => {
  it("is found again from labels drawn with the probabilities that it gives", () => {
    const scores = randomMatrix(20_000, 4, 5);
    const temperature = 0.3;
    const { data } = softmaxRows(scores, temperature);
    const random = seededRandom(1, "labels");
    const labels = Int32Array.from({ length: scores.rows }, (_, i) => {
      let left = random.uniform();
      let label = 0;
      while (label < 3 && left > data[4 * i + label]) left -= data[4 * i + label++];
      return label;
    });
    expect(fitTemperature(scores, labels)).toBeCloseTo(temperature, 1);
    expect(Math.abs(Math.log(fitTemperature(scores, labels) / temperature))).toBeLessThan(0.05);
  });

  it("stays above 0 where every score is right: confidence is that of Laplace's rule", () => {
    const scores = matrix(
      8,
      2,
      Float64Array.from({ length: 16 }, (_, i) => (i % 4 === 0 || i % 4 === 3 ? 1 : 0)),
    );
    const labels = Int32Array.from({ length: 8 }, (_, i) => i % 2);
    const [first] = softmaxRows(scores, fitTemperature(scores, labels)).data;
    expect(first).toBeCloseTo(9 / 10, 3);
  });
});

describe("the expected calibration error", () => {
  it("is 0 where one in four is wrong at a confidence of three in four, and the gap elsewhere", () => {
    const rows = (confidence: number) =>
      matrix(
        4,
        2,
        Float64Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? confidence : 1 - confidence)),
      );
    const right = new CalibrationError();
    right.add(rows(0.75), [0, 0, 0, 1]);
    expect(right.result()).toBeCloseTo(0, 12);
    const certain = new CalibrationError();
    certain.add(rows(1), [0, 0, 0, 1]);
    certain.add(rows(0.75), [0, 0, 0, 1]);
    expect(certain.result()).toBeCloseTo(0.125, 12);
  });
});

describe("a calibrated probe", () => {
  /** Two classes whose features are (1, 0) and (0, 1) with noise. */
  const noisy = (count: number, seed: number) => {
    const random = seededRandom(seed, "features");
    const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
    const features = Float32Array.from(
      { length: 2 * count },
      (_, at) => (at % 2 === labels[at >> 1] ? 1 : 0) + 0.5 * random.normal(),
    );
    return featuresInMemory(features, labels);
  };
  const solved = {
    weight: matrix(2, 2, Float64Array.of(1, -1, -1, 1)),
    map: featureMap({ normalization: "none" }),
    lambda: 0.1,
  };

  it("rejects one in twenty training images, and gives probabilities that sum to 1", async () => {
    const train = noisy(1000, 2);
    const calibration = await calibrate(solved, train, new Int32Array(0), jsGemm);
    expect(calibration.images).toBe(1000);
    expect(calibration.falseAlarms).toBeCloseTo(0.05, 12);
    const probe = probeOf(solved, calibration);
    const features = new Float32Array(2000);
    await train.rows(
      Int32Array.from({ length: 1000 }, (_, i) => i),
      features,
    );
    const X = matrix(1000, 2, Float64Array.from(features));
    expect(probe.unknown(X).filter(Boolean)).toHaveLength(50);
    const { data } = probe.probabilities(X);
    for (let i = 0; i < 1000; i++) expect(data[2 * i] + data[2 * i + 1]).toBeCloseTo(1, 12);
  });

  it("uses leave-one-out scores of rows that it was solved on: a probe of all rows and of a list of all agree", async () => {
    const train = noisy(12, 3);
    const rows = Int32Array.from({ length: 12 }, (_, i) => i);
    const [all, each] = [
      await calibrate(solved, train, "all", jsGemm),
      await calibrate(solved, train, rows, jsGemm),
    ];
    expect(each.temperature).toBeCloseTo(all.temperature, 6);
    expect(each.unknownBelow).toBeCloseTo(all.unknownBelow, 9);
    const unseen = await calibrate(solved, train, new Int32Array(0), jsGemm);
    expect(unseen.unknownBelow).not.toBeCloseTo(all.unknownBelow, 3);
  });

  it("without a recorded temperature refuses to name probabilities", () => {
    expect(() => probeOf(solved).probabilities(matrix(1, 2))).toThrow(/no recorded temperature/);
  });
});
