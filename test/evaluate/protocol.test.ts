import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  evaluateFullData,
  evaluateSet,
  headMetrics,
  type ProbeResult,
  type Protocol,
  rankingOf,
  type TrainingSet,
} from "../../src/evaluate/protocol.ts";
import { plainFeatures } from "../../src/evaluate/training-features.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { matrix, transpose } from "../../src/probe/matrix.ts";
import { meanStd } from "../../src/probe/metrics.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { type LinearHead, trainHead, tunedLearningRates, tuneHead } from "../../src/probe/trained-head.ts";
import { seededRandom } from "../../src/random.ts";

const [d, classes] = [4, 3];

/** Features around a corner for each class, too noisy to be told apart for certain; groups by turns. */
function features(n: number, seed: number): FeatureRows & { readonly groups: Int32Array } {
  const random = seededRandom(seed, "protocol");
  const labels = Int32Array.from({ length: n }, (_, i) => i % classes);
  const data = Float32Array.from(
    { length: n * d },
    (_, k) => (k % d === labels[Math.floor(k / d)] ? 1 : 0) + 0.6 * random.normal(),
  );
  return { ...featuresInMemory(data, labels), groups: labels.map((_, i) => i % 2) };
}

async function setOf(n: number, seed: number): Promise<TrainingSet> {
  const rows = features(n, seed);
  const all = new Float32Array(n * d);
  await rows.rows(
    Int32Array.from({ length: n }, (_, i) => i),
    all,
  );
  return { training: async () => plainFeatures(all, rows.labels) };
}

const test = features(90, 1);
const protocol: Protocol = {
  classes,
  test,
  validation: features(60, 2),
  gemm: jsGemm,
  epochs: 30,
  probes: ["closed-form", "head", "tuned-head"],
  seeds: [0, 1, 2],
};
const closedForm = { map: featureMap({ normalization: "l2" }), lambda: 0.3 };
const byProbe = (results: readonly ProbeResult[], probe: string) => results.find((r) => r.probe === probe)!;

describe("evaluateSet", async () => {
  const set = await setOf(9, 3);
  const training = await set.training(0, false);
  const results = await evaluateSet(set, protocol, false, closedForm);

  it("trains LGM's head on raw features for each seed", async () => {
    const head = byProbe(results, "head");
    const expected: number[] = [];
    for (const seed of protocol.seeds) {
      const options = { classes, seed, epochs: 30, learningRate: (1e-3 * 9) / 256 };
      const [metrics] = await headMetrics([await trainHead(training, options)], test, classes, jsGemm);
      expected.push(metrics!.top1);
    }
    expect(head).toMatchObject({ augmented: false, seeds: [0, 1, 2], learningRate: (1e-3 * 9) / 256 });
    expect(head.top1).toEqual({ ...meanStd(expected), values: expected });
  });

  it("chooses one learning rate for the set by the mean accuracy on real training features", async () => {
    const tuned = byProbe(results, "tuned-head");
    const sums = tunedLearningRates.map(() => 0);
    for (const seed of protocol.seeds) {
      const { tried } = await tuneHead(training, protocol.validation, { classes, seed, epochs: 30 });
      for (const [k, { accuracy }] of tried.entries()) sums[k] += accuracy;
    }
    expect(tuned.learningRate).toBe(tunedLearningRates[sums.indexOf(Math.max(...sums))]);
    const [metrics] = await headMetrics(
      [await trainHead(training, { classes, seed: 1, epochs: 30, learningRate: tuned.learningRate! })],
      test,
      classes,
      jsGemm,
    );
    expect(tuned.top1.values[1]).toBe(metrics!.top1);
  });

  it("solves the closed form once, whose result no seed changes", () => {
    expect(byProbe(results, "closed-form")).toMatchObject({ seeds: [0], lambda: 0.3, top1: { std: 0 } });
  });

  it("gives class, confusion and worst-group figures that agree with the accuracy", () => {
    for (const { confusion, perClass, top1, seeds, worstGroup, top5 } of results) {
      const total = confusion.flat().reduce((a, b) => a + b, 0);
      const right = confusion.reduce((sum, row, c) => sum + row[c], 0);
      expect(total).toBe(90 * seeds.length);
      expect(right / total).toBeCloseTo(top1.mean, 12);
      // Thirty test images of each class.
      for (const [c, accuracy] of perClass.entries()) {
        expect(accuracy).toBeCloseTo(confusion[c][c]! / (30 * seeds.length), 12);
      }
      expect(worstGroup!.mean).toBeLessThanOrEqual(top1.mean);
      expect(top5).toBeUndefined();
    }
  });

  it("measures the closed form for each seed where the images change with it", async () => {
    const changing: TrainingSet = {
      changesWithSeed: true,
      training: async (seed) => (await setOf(6, 10 + seed)).training(seed, false),
    };
    const [own] = await evaluateSet(changing, { ...protocol, probes: ["closed-form"] }, false, closedForm);
    expect(own!.seeds).toEqual([0, 1, 2]);
    const [one] = await evaluateSet(
      await setOf(6, 11),
      { ...protocol, probes: ["closed-form"] },
      false,
      closedForm,
    );
    expect(own!.top1.values[1]).toBe(one!.top1.mean);
  });

  it("gives the closed form every augmented draw with its label", async () => {
    const rows = [await setOf(6, 20), await setOf(6, 21)];
    const draws = await Promise.all(
      rows.map(async (r) => (await (await r.training(0, false)).every()).features),
    );
    const both = new Float32Array([...draws[0], ...draws[1]]);
    const labels = features(6, 20).labels;
    const drawn: TrainingSet = {
      training: async () => ({
        ...plainFeatures(draws[0], labels),
        every: async () => ({ features: both, draws: 2 }),
      }),
    };
    const whole: TrainingSet = {
      training: async () => plainFeatures(both, Int32Array.from([...labels, ...labels])),
    };
    const one = { ...protocol, probes: ["closed-form"] as const, seeds: [0] };
    const [a] = await evaluateSet(drawn, one, true, closedForm);
    const [b] = await evaluateSet(whole, one, false, closedForm);
    expect(a!.confusion).toEqual(b!.confusion);
  });

  it("stops between heads when it is asked to", async () => {
    const signal = AbortSignal.abort(new Error("stopped"));
    await expect(evaluateSet(set, { ...protocol, signal }, false, closedForm)).rejects.toThrow("stopped");
  });
});

describe("evaluateFullData", () => {
  it("trains on every row, with LGM's rate for its batch of 256", async () => {
    const train = features(300, 5);
    const results = await evaluateFullData(train, { ...protocol, epochs: 3 }, closedForm.map);
    expect(results.map((r) => r.probe)).toEqual(["closed-form", "head", "tuned-head"]);
    const head = byProbe(results, "head");
    expect(head.learningRate).toBe(1e-3);
    const [metrics] = await headMetrics(
      [await trainHead(train, { classes, seed: 2, epochs: 3 })],
      test,
      classes,
      jsGemm,
    );
    expect(head.top1.values[2]).toBe(metrics!.top1);
    expect(tunedLearningRates).toContain(byProbe(results, "tuned-head").learningRate);
  });
});

describe("headMetrics", () => {
  interface Fixture {
    readonly features: number[][];
    readonly labels: number[];
    readonly trained: readonly { readonly weight: number[][]; readonly bias: number[] }[];
  }
  const fixture: Fixture = JSON.parse(
    readFileSync(new URL("../fixtures/head/adam.json", import.meta.url), "utf8"),
  );

  it("of the heads that PyTorch trained are those of their scores by the definition", async () => {
    const heads = fixture.trained.map(
      ({ weight, bias }): LinearHead => ({
        weight: transpose(matrix(weight.length, weight[0].length, Float64Array.from(weight.flat()))),
        bias: Float64Array.from(bias),
      }),
    );
    const rows = featuresInMemory(
      Float32Array.from(fixture.features.flat()),
      Int32Array.from(fixture.labels),
    );
    const metrics = await headMetrics(heads, rows, 4, jsGemm);
    for (const [k, { weight, bias }] of fixture.trained.entries()) {
      const right = fixture.features.filter((x, i) => {
        const scores = weight.map((w, c) => w.reduce((sum, wj, j) => sum + wj * Math.fround(x[j]), bias[c]));
        return scores.indexOf(Math.max(...scores)) === fixture.labels[i];
      });
      expect(metrics[k].top1).toBe(right.length / fixture.labels.length);
    }
  });
});

describe("rankingOf", () => {
  const result = (mean: number, augmented: boolean, probe: ProbeResult["probe"] = "head"): ProbeResult => ({
    ...{ probe, augmented, seeds: [0], top1: { mean, std: 0, values: [mean] }, perClass: [], confusion: [] },
  });

  it("is what is lost beside the full data and won over random images, probe by probe", () => {
    const full = [result(0.9, false, "closed-form"), result(0.8, false)];
    const random = [result(0.2, false), result(0.25, true)];
    const plain = rankingOf(result(0.5, false), full, random);
    expect(plain.hlr).toBeCloseTo(0.3, 12);
    expect(plain.ior).toBeCloseTo(0.3, 12);
    expect(rankingOf(result(0.5, true), full, random).ior).toBeCloseTo(0.25, 12);
    expect(rankingOf(result(0.5, true, "tuned-head"), full, random)).toEqual({});
  });
});
