import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { type Matrix, matrix, transpose } from "../../src/probe/matrix.ts";
import { featuresInMemory, type LabeledFeatures } from "../../src/probe/rows.ts";
import {
  headAccuracies,
  headScores,
  type LinearHead,
  trainHead,
  tunedLearningRates,
  tuneHead,
} from "../../src/probe/trained-head.ts";
import { relativeError } from "../support/check-rule.ts";
import { randomMatrix } from "../support/matrices.ts";

interface Fixture {
  readonly epochs: number;
  readonly features: number[][];
  readonly labels: number[];
  readonly weight: number[][];
  readonly bias: number[];
  readonly trained: readonly {
    readonly learningRate: number;
    readonly losses: number[];
    readonly weight: number[][];
    readonly bias: number[];
  }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../fixtures/head/adam.json", import.meta.url), "utf8"),
);
/** PyTorch's C × d as this project's d × C. */
const fromTorch = (rows: number[][]): Matrix =>
  transpose(matrix(rows.length, rows[0].length, Float64Array.from(rows.flat())));

describe("trainHead against PyTorch's Adam and CosineAnnealingLR", () => {
  const features = featuresInMemory(
    Float32Array.from(fixture.features.flat()),
    Int32Array.from(fixture.labels),
  );
  const initial: LinearHead = {
    weight: fromTorch(fixture.weight),
    bias: Float64Array.from(fixture.bias),
  };
  const options = { classes: 4, seed: 0, epochs: fixture.epochs, initial };

  it.each(fixture.trained)("ends at the same head for learning rate $learningRate", async (trained) => {
    const losses: number[] = [];
    const { learningRate } = trained;
    const onEpoch = ({ loss }: { loss: number }) => losses.push(loss);
    const head = await trainHead(features, { ...options, learningRate, onEpoch });
    expect(relativeError(head.weight.data, fromTorch(trained.weight).data)).toBeLessThan(1e-10);
    expect(relativeError(head.bias, trained.bias)).toBeLessThan(1e-10);
    expect(relativeError(losses, trained.losses)).toBeLessThan(1e-10);
  });

  it("trains several rates side by side to the same heads", async () => {
    const learningRates = fixture.trained.map((t) => t.learningRate);
    const { tried } = await tuneHead(features, features, { ...options, learningRates });
    for (const { learningRate, weight } of fixture.trained) {
      const own = tried.find((t) => t.learningRate === learningRate)!;
      expect(relativeError(own.head.weight.data, fromTorch(weight).data)).toBeLessThan(1e-10);
    }
  });
});

/** Two classes of four around (1, 0) and (0, 1), and a set that remembers what it was asked for. */
const clusters = (
  n: number,
  seed: number,
): LabeledFeatures & { asked: { epoch?: number; rows: number[] }[] } => {
  const noise = randomMatrix(n, 2, seed, 0.4);
  const labels = Int32Array.from({ length: n }, (_, i) => i % 2);
  const data = Float32Array.from(noise.data, (x, i) => x + (i % 2 === labels[i >> 1] ? 1 : 0));
  const inner = featuresInMemory(data, labels);
  const asked: { epoch?: number; rows: number[] }[] = [];
  return {
    ...inner,
    asked,
    async rows(indices, out, epoch) {
      asked.push({ rows: [...indices], ...(epoch === undefined ? {} : { epoch }) });
      await inner.rows(indices, out);
    },
  };
};

describe("trainHead", () => {
  it("goes through every row once an epoch, in batches, in a new order each time", async () => {
    const set = clusters(10, 1);
    await trainHead(set, { classes: 2, seed: 5, epochs: 3, batchSize: 4 });
    expect(set.asked.map(({ rows }) => rows.length)).toEqual([4, 4, 2, 4, 4, 2, 4, 4, 2]);
    expect(set.asked.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    const orders = [0, 1, 2].map((e) => set.asked.slice(3 * e, 3 * e + 3).flatMap(({ rows }) => rows));
    for (const order of orders) {
      expect([...order].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    expect(new Set(orders.map(String)).size).toBe(3);
  });

  it("steps as a plain implementation of Adam does on the same batches", async () => {
    const set = clusters(7, 2);
    const [epochs, learningRate] = [5, 0.03];
    const initial = { weight: randomMatrix(2, 2, 3, 0.1), bias: Float64Array.of(0.1, -0.2) };
    const head = await trainHead(set, { classes: 2, seed: 1, epochs, batchSize: 3, learningRate, initial });
    // Parameters as one vector [w00 w01 w10 w11 b0 b1], score_c = x0 w0c + x1 w1c + b_c.
    const p = [...initial.weight.data, ...initial.bias];
    const [m, v] = [p.map(() => 0), p.map(() => 0)];
    for (const [k, { rows, epoch }] of [...set.asked].entries()) {
      const x = new Float32Array(rows.length * 2);
      await set.rows(Int32Array.from(rows), x);
      const g = p.map(() => 0);
      for (const [i, row] of rows.entries()) {
        const inputs = [x[2 * i], x[2 * i + 1], 1];
        const score = [0, 1].map((c) => inputs[0] * p[c] + inputs[1] * p[2 + c] + p[4 + c]);
        const total = Math.exp(score[0]) + Math.exp(score[1]);
        for (const c of [0, 1]) {
          const error = Math.exp(score[c]) / total - (set.labels[row] === c ? 1 : 0);
          for (const r of [0, 1, 2]) g[2 * r + c] += (error * inputs[r]) / rows.length;
        }
      }
      const rate = (learningRate * (1 + Math.cos((Math.PI * epoch!) / epochs))) / 2;
      for (let j = 0; j < p.length; j++) {
        m[j] = 0.9 * m[j] + 0.1 * g[j];
        v[j] = 0.999 * v[j] + 0.001 * g[j] ** 2;
        const [mHat, vHat] = [m[j] / (1 - 0.9 ** (k + 1)), v[j] / (1 - 0.999 ** (k + 1))];
        p[j] -= (rate * mHat) / (Math.sqrt(vHat) + 1e-8);
      }
    }
    expect(relativeError([...head.weight.data, ...head.bias], p)).toBeLessThan(1e-10);
  });

  it("uses LGM's learning rate 1e-3 · batch/256 and 1,000 epochs unless asked otherwise", async () => {
    const epochs: number[] = [];
    const set = clusters(6, 3);
    const onEpoch = (p: { epochs: number }) => epochs.push(p.epochs);
    const [a, b] = [
      await trainHead(set, { classes: 2, seed: 2, onEpoch }),
      await trainHead(set, { classes: 2, seed: 2, epochs: 1000, learningRate: (1e-3 * 6) / 256 }),
    ];
    expect(epochs.length).toBe(1000);
    expect(a).toEqual(b);
  });

  it("is equal for equal seeds and differs for others", async () => {
    const train = (seed: number) => trainHead(clusters(9, 4), { classes: 2, seed, epochs: 4, batchSize: 4 });
    const [a, b, c] = [await train(1), await train(1), await train(2)];
    expect(a).toEqual(b);
    expect(a.weight.data).not.toEqual(c.weight.data);
  });

  it("starts from a weight of deviation 0.01 and a zero bias", async () => {
    const [d, classes] = [60, 50];
    const one = featuresInMemory(new Float32Array(d), Int32Array.of(0));
    // Zero features leave the weight where it was drawn.
    const { weight } = await trainHead(one, { classes, seed: 8, epochs: 1 });
    const std = Math.sqrt(weight.data.reduce((s, x) => s + x * x, 0) / weight.data.length);
    // 3,000 draws: the standard error of the deviation is 0.01/√6000.
    expect(Math.abs(std - 0.01)).toBeLessThan((5 * 0.01) / Math.sqrt(2 * d * classes));
  });

  it("stops at a signal, with its reason", async () => {
    const controller = new AbortController();
    const onEpoch = ({ epoch }: { epoch: number }) => {
      if (epoch === 3) controller.abort(new Error("enough"));
    };
    const { signal } = controller;
    const training = trainHead(clusters(4, 5), { classes: 2, seed: 1, signal, onEpoch });
    await expect(training).rejects.toThrow("enough");
  });

  it("refuses a learning rate that is not a number above 0, and an empty set", async () => {
    const train = (learningRate: number) => trainHead(clusters(4, 5), { classes: 2, seed: 1, learningRate });
    await expect(train(0)).rejects.toThrow(UsageError);
    const empty = featuresInMemory(new Float32Array(0), Int32Array.of(0));
    await expect(trainHead({ ...empty, count: 0 }, { classes: 2, seed: 1 })).rejects.toThrow("no features");
  });
});

describe("tuneHead", () => {
  it("returns the rate with the best validation accuracy among DD-Ranking's five", async () => {
    const validation = clusters(200, 7);
    const { best, tried } = await tuneHead(clusters(20, 6), validation, { classes: 2, seed: 1, epochs: 4 });
    expect(tried.map((t) => t.learningRate)).toEqual([...tunedLearningRates]);
    const accuracies = await headAccuracies(
      tried.map((t) => t.head),
      validation,
    );
    expect(tried.map((t) => t.accuracy)).toEqual(accuracies);
    expect(new Set(accuracies).size).toBeGreaterThan(1);
    expect(best.accuracy).toBe(Math.max(...accuracies));
    expect(best.accuracy).toBeGreaterThan(0.9);
    expect(best.learningRate).toBe(tried.find((t) => t.accuracy === best.accuracy)!.learningRate);
  });

  it("gives for each rate what trainHead gives", async () => {
    const options = { classes: 2, seed: 3, epochs: 6, batchSize: 5 };
    const { tried } = await tuneHead(clusters(12, 8), clusters(4, 9), options);
    for (const { learningRate, head } of tried) {
      expect(await trainHead(clusters(12, 8), { ...options, learningRate })).toEqual(head);
    }
  });
});

describe("headAccuracies", () => {
  it("does not depend on how the features are cut into batches", async () => {
    const set = clusters(23, 10);
    const head = { weight: randomMatrix(2, 2, 1), bias: Float64Array.of(0.1, -0.1) };
    const Z = new Float32Array(46);
    await set.rows(
      Int32Array.from({ length: 23 }, (_, i) => i),
      Z,
    );
    const scores = await headScores(head, matrix(23, 2, Float64Array.from(Z)));
    let right = 0;
    for (let i = 0; i < 23; i++) {
      const predicted = scores.data[2 * i] >= scores.data[2 * i + 1] ? 0 : 1;
      if (predicted === set.labels[i]) right++;
    }
    for (const size of [1, 7, 100]) {
      expect(await headAccuracies([head], set, undefined, size)).toEqual([right / 23]);
    }
  });
});
