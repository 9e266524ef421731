import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DataError, NumericalError, UsageError } from "../../src/errors.ts";
import type { ObjectiveInput } from "../../src/objective/objective.ts";
import { type ObjectiveName, objectives } from "../../src/objective/objectives.ts";
import type { BatchRows } from "../../src/probe/batch-rows.ts";
import { ClassSums } from "../../src/probe/class-sums.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { type Random, seededRandom } from "../../src/random.ts";
import { relativeError } from "../support/check-rule.ts";
import { matrixRows, naiveProduct, numericGradient, randomMatrix } from "../support/matrices.ts";

interface Shape {
  readonly C: number;
  readonly ipc: number;
  readonly d: number;
  readonly n: number;
  readonly seed: number;
}

/** An input whose real features can be looked at. */
interface Input extends ObjectiveInput {
  readonly batch: { readonly Z: BatchRows & Matrix; readonly y: Int32Array };
}

const rowsOf = (Z: Matrix): BatchRows & Matrix => ({ ...Z, ...matrixRows(Z) });

/** ipc synthetic rows a class (m from 2 to 15, below and above d), labels moved off one-hot, a real batch. */
function inputOf(shape: Shape, more: Partial<ObjectiveInput> = {}): Input {
  const { C, ipc, d, n, seed } = shape;
  const m = C * ipc;
  const Ys = centeredOneHot(
    Array.from({ length: m }, (_, i) => Math.floor(i / ipc)),
    C,
  );
  const moved = randomMatrix(m, C, seed + 1, 0.2);
  const Z = randomMatrix(n, d, seed + 3);
  const y = Int32Array.from({ length: n }, (_, i) => i % C);
  const sums = new ClassSums(C, d);
  sums.add(Z, y);
  return {
    Zs: randomMatrix(m, d, seed),
    Ys: matrix(
      m,
      C,
      Ys.data.map((v, i) => v + moved.data[i]),
    ),
    batch: { Z: rowsOf(Z), y },
    classMeans: sums.means(),
    lambda: 0.3,
    tau: 0.5,
    anchors: "raw",
    random: seededRandom(seed, "objective test"),
    gemm: jsGemm,
    ...more,
  } as Input;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  C: fc.integer({ min: 2, max: 5 }),
  ipc: fc.integer({ min: 1, max: 3 }),
  d: fc.integer({ min: 2, max: 9 }),
  n: fc.integer({ min: 5, max: 12 }),
  seed: fc.integer({ min: 0, max: 1e9 }),
});

const cases: readonly (readonly [string, ObjectiveName, Partial<ObjectiveInput>])[] = [
  ["clp", "clp", {}],
  ["clp with cosine anchors", "clp", { anchors: "cosine" }],
  ["clp at a small temperature", "clp", { tau: 0.1, lambda: 0.05 }],
  ["clp-mse", "clp-mse", {}],
  ["lgm", "lgm", {}],
  ["sfm", "sfm", {}],
];

describe.each(cases)("%s", (_, name, options) => {
  /** The loss for given Zs, Ys, τ: all else equal, the random stream included. */
  const lossAt = async (shape: Shape, change: Partial<ObjectiveInput>): Promise<number> =>
    (await objectives[name].evaluate({ ...inputOf(shape, options), ...change })).loss;

  it("has the gradients of central differences", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async (shape) => {
        const input = inputOf(shape, options);
        const { dZs, dYs, dTau } = await objectives[name].evaluate(input);
        const byZs = await numericGradient((Zs) => lossAt(shape, { Zs }), input.Zs, 3e-4);
        expect([dZs.rows, dZs.cols]).toEqual([input.Zs.rows, input.Zs.cols]);
        expect(relativeError(dZs.data, byZs)).toBeLessThan(1e-6);
        if (dYs !== undefined) {
          const byYs = await numericGradient((Ys) => lossAt(shape, { Ys }), input.Ys, 3e-4);
          expect(relativeError(dYs.data, byYs)).toBeLessThan(1e-6);
        }
        if (dTau !== undefined) {
          const at = matrix(1, 1, Float64Array.of(input.tau));
          const byTau = await numericGradient((t) => lossAt(shape, { tau: t.data[0] }), at, 1e-4);
          expect(relativeError([dTau], byTau)).toBeLessThan(1e-6);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("has gradients of what it says can be learned, and of nothing else", async () => {
    const input = inputOf({ C: 4, ipc: 2, d: 6, n: 12, seed: 5 }, options);
    const { dYs, dTau } = await objectives[name].evaluate(input);
    const given = { labels: dYs !== undefined, temperature: dTau !== undefined };
    expect(given).toEqual(objectives[name].learns);
  });

  it("goes down along its gradient", async () => {
    const shape = { C: 4, ipc: 2, d: 6, n: 12, seed: 5 };
    const input = inputOf(shape, options);
    const { loss, dZs } = await objectives[name].evaluate(input);
    const length = Math.sqrt(dZs.data.reduce((s, g) => s + g * g, 0));
    const data = input.Zs.data.map((z, i) => z - (1e-3 * dZs.data[i]) / length);
    expect(await lossAt(shape, { Zs: matrix(8, 6, data) })).toBeLessThan(loss);
  });

  it("leaves its input as it was and is equal for equal input", async () => {
    const shape = { C: 3, ipc: 2, d: 4, n: 9, seed: 1 };
    const [input, copy] = [inputOf(shape, options), inputOf(shape, options)];
    const first = await objectives[name].evaluate(input);
    expect(input.Zs).toEqual(copy.Zs);
    expect(input.Ys).toEqual(copy.Ys);
    expect(input.batch.Z.data).toEqual(copy.batch.Z.data);
    expect(input.batch.y).toEqual(copy.batch.y);
    expect(input.classMeans).toEqual(copy.classMeans);
    expect(await objectives[name].evaluate(copy)).toEqual(first);
  });

  it("reads only what it says it needs", async () => {
    const shape = { C: 3, ipc: 2, d: 4, n: 9, seed: 1 };
    const { needs } = objectives[name];
    const input = inputOf(shape, options);
    const { classMeans, batch, ...rest } = input;
    const empty = { Z: rowsOf(matrix(0, 4)), y: new Int32Array(0) };
    const reduced = {
      ...rest,
      batch: needs.batch ? batch : empty,
      ...(needs.classMeans && classMeans ? { classMeans } : {}),
    };
    const whole = await objectives[name].evaluate(inputOf(shape, options));
    expect(await objectives[name].evaluate(reduced)).toEqual(whole);
  });
});

describe("clp", () => {
  const shape = { C: 3, ipc: 1, d: 5, n: 10, seed: 2 };

  it("is the cross entropy of the ridge probe's scores over τ, with its accuracy", async () => {
    for (const anchors of ["raw", "cosine"] as const) {
      const input = inputOf(shape, { anchors });
      const { weight } = await solveRidge(input.Zs, input.Ys, { lambda: input.lambda });
      const norms = [0, 1, 2].map((c) =>
        anchors === "raw" ? 1 : Math.hypot(...[0, 1, 2, 3, 4].map((j) => weight.data[j * 3 + c])),
      );
      const scores = naiveProduct(input.batch.Z, weight);
      let [loss, right] = [0, 0];
      for (let i = 0; i < 10; i++) {
        const row = [0, 1, 2].map((c) => scores.data[i * 3 + c] / norms[c] / input.tau);
        const total = row.reduce((s, v) => s + Math.exp(v), 0);
        loss -= Math.log(Math.exp(row[input.batch.y[i]!]) / total) / 10;
        if (row.indexOf(Math.max(...row)) === input.batch.y[i]) right++;
      }
      const evaluation = await objectives.clp.evaluate(input);
      expect(evaluation.loss).toBeCloseTo(loss, 12);
      expect(evaluation.batchAccuracy).toBeCloseTo(right / 10, 14);
    }
  });

  it("does not depend on the scale of the features when its anchors are cosines", async () => {
    // r grows with tr K, so scaling Zs scales W by its inverse; its directions stay.
    const input = inputOf(shape, { anchors: "cosine" });
    const scaled = {
      ...input,
      Zs: matrix(
        3,
        5,
        input.Zs.data.map((z) => 7 * z),
      ),
    };
    const [a, b] = [await objectives.clp.evaluate(input), await objectives.clp.evaluate(scaled)];
    expect(b.loss).toBeCloseTo(a.loss, 12);
  });

  it("gives a zero anchor no gradient instead of NaN", async () => {
    const input = inputOf(shape, { anchors: "cosine" });
    const Ys = matrix(3, 3, input.Ys.data.slice());
    for (let i = 0; i < 3; i++) Ys.data[i * 3] = 0;
    const { loss, dZs } = await objectives.clp.evaluate({ ...input, Ys });
    expect(Number.isFinite(loss)).toBe(true);
    expect(dZs.data.every(Number.isFinite)).toBe(true);
  });

  it("refuses τ ≤ 0, λ ≤ 0 and non-finite features", async () => {
    const evaluate = (change: Partial<ObjectiveInput>) => objectives.clp.evaluate(inputOf(shape, change));
    for (const tau of [0, -0.1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(evaluate({ tau })).rejects.toThrow(UsageError);
      await expect(evaluate({ tau })).rejects.toThrow(`got ${tau}`);
    }
    await expect(evaluate({ lambda: 0 })).rejects.toThrow(UsageError);
    const Zs = randomMatrix(3, 5, 1);
    Zs.data[11] = Number.NaN;
    await expect(evaluate({ Zs })).rejects.toThrow(NumericalError);
    await expect(evaluate({ Zs })).rejects.toThrow("row 2");
  });
});

describe("clp-mse", () => {
  it("is the mean square of the probe's scores minus one-hot minus 1/C", async () => {
    const input = inputOf({ C: 3, ipc: 2, d: 4, n: 7, seed: 3 });
    const { weight } = await solveRidge(input.Zs, input.Ys, { lambda: input.lambda });
    const scores = naiveProduct(input.batch.Z, weight);
    const squares = scores.data.map((s, i) => {
      const hot = input.batch.y[Math.floor(i / 3)] === i % 3 ? 1 : 0;
      return (s - (hot - 1 / 3)) ** 2;
    });
    const { loss } = await objectives["clp-mse"].evaluate(input);
    expect(loss).toBeCloseTo(squares.reduce((s, v) => s + v, 0) / squares.length, 13);
  });
});

describe("lgm", () => {
  const shape = { C: 3, ipc: 2, d: 4, n: 9, seed: 4 };
  /** Mean cross entropy of the head W on rows with target distributions, from the definition. */
  const crossEntropyOf = (Z: Matrix, targets: Matrix, W: Matrix): number => {
    const scores = naiveProduct(Z, W);
    const C = W.cols;
    let loss = 0;
    for (let i = 0; i < Z.rows; i++) {
      const row = scores.data.subarray(i * C, (i + 1) * C);
      const total = row.reduce((s, v) => s + Math.exp(v), 0);
      for (let c = 0; c < C; c++) {
        loss -= (targets.data[i * C + c] * Math.log(Math.exp(row[c]) / total)) / Z.rows;
      }
    }
    return loss;
  };

  it("is 1 − cos between the head's loss gradients, taken here by central differences", async () => {
    const hard = Array.from({ length: 6 }, (_, i) => Math.floor(i / 2));
    const input = inputOf(shape, { Ys: centeredOneHot(hard, 3) });
    const random: Random = seededRandom(shape.seed, "objective test");
    const W = matrix(
      4,
      3,
      Float64Array.from({ length: 12 }, () => 0.01 * random.normal()),
    );
    const oneHot = (labels: ArrayLike<number>) => {
      const y = centeredOneHot(labels, 3);
      return matrix(
        y.rows,
        3,
        y.data.map((v) => v + 1 / 3),
      );
    };
    const gradientOn = (Z: Matrix, labels: ArrayLike<number>) =>
      numericGradient(async (w) => crossEntropyOf(Z, oneHot(labels), w), W);
    const real = await gradientOn(input.batch.Z, input.batch.y);
    const synthetic = await gradientOn(input.Zs, hard);
    const dot = (a: Float64Array, b: Float64Array) => a.reduce((s, v, i) => s + v * b[i], 0);
    const expected = 1 - dot(real, synthetic) / Math.sqrt(dot(real, real) * dot(synthetic, synthetic));
    expect((await objectives.lgm.evaluate(input)).loss).toBeCloseTo(expected, 9);
  });

  it("is zero when the synthetic set is the real batch", async () => {
    const { batch } = inputOf(shape);
    const { loss, dZs } = await objectives.lgm.evaluate(
      inputOf(shape, { Zs: batch.Z, Ys: centeredOneHot(batch.y, 3) }),
    );
    expect(loss).toBeCloseTo(0, 14);
    expect(Math.max(...dZs.data.map(Math.abs))).toBeLessThan(1e-12);
  });

  it("draws another head in another step", async () => {
    const [a, b] = [
      await objectives.lgm.evaluate(inputOf(shape, { random: seededRandom(1, "a") })),
      await objectives.lgm.evaluate(inputOf(shape, { random: seededRandom(1, "b") })),
    ];
    expect(a.loss).not.toBe(b.loss);
  });
});

describe("sfm", () => {
  const shape = { C: 3, ipc: 2, d: 4, n: 9, seed: 6 };

  it("is 1 − cos between flows from each class mean to the mean of the others", async () => {
    const input = inputOf(shape);
    const flows = (means: Matrix): number[] =>
      [0, 1, 2].flatMap((c) =>
        [0, 1, 2, 3].map((j) => {
          const others = [0, 1, 2].filter((o) => o !== c).map((o) => means.data[o * 4 + j]);
          return (others[0] + others[1]) / 2 - means.data[c * 4 + j];
        }),
      );
    const synthetic = matrix(3, 4);
    for (let i = 0; i < 6; i++) {
      for (let j = 0; j < 4; j++) synthetic.data[(i >> 1) * 4 + j] += input.Zs.data[i * 4 + j] / 2;
    }
    const [a, b] = [flows(input.classMeans!), flows(synthetic)];
    const dot = (x: number[], y: number[]) => x.reduce((s, v, i) => s + v * y[i], 0);
    const expected = 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    expect((await objectives.sfm.evaluate(input)).loss).toBeCloseTo(expected, 13);
  });

  it("is zero when each synthetic image sits on its class mean, wherever their common mean lies", async () => {
    const { classMeans } = inputOf(shape);
    const Zs = matrix(
      3,
      4,
      classMeans!.data.map((v, i) => 2 * v + (i % 4)),
    );
    const { loss } = await objectives.sfm.evaluate(inputOf(shape, { Zs, Ys: centeredOneHot([0, 1, 2], 3) }));
    expect(loss).toBeCloseTo(0, 14);
  });

  it("names a class without a synthetic image", async () => {
    const failure = objectives.sfm.evaluate(inputOf(shape, { Ys: centeredOneHot([0, 0, 0, 2, 2, 2], 3) }));
    await expect(failure).rejects.toThrow(DataError);
    await expect(failure).rejects.toThrow("class 1");
  });
});

describe("a loss summed over feature maps", () => {
  it("has the sum of the pulled-back gradients as its gradient", async () => {
    const shape = { C: 3, ipc: 1, d: 4, n: 8, seed: 7 };
    const input = inputOf(shape);
    const [mean, std] = [Float64Array.of(0.1, -0.2, 0.3, 0), Float64Array.of(0.5, 1, 2, 0.7)];
    const maps = [
      featureMap({ normalization: "standardize-l2", mean, std }),
      featureMap({ normalization: "l2" }),
      featureMap({ normalization: "none" }),
    ];
    // The map copies its input into doubles first; differences need doubles all the way.
    const apply = (k: number, x: Matrix) => maps[k].apply(x.data as unknown as Float32Array, x.rows);
    const evaluateAll = async (Zs: Matrix) => {
      let loss = 0;
      const gradient = matrix(Zs.rows, Zs.cols);
      for (const k of maps.keys()) {
        const mapped = apply(k, Zs);
        const batch = { Z: rowsOf(apply(k, input.batch.Z).values), y: input.batch.y };
        const part = await objectives.clp.evaluate({ ...input, Zs: mapped.values, batch });
        loss += part.loss;
        const back = maps[k].pullback(mapped, part.dZs);
        for (let i = 0; i < gradient.data.length; i++) gradient.data[i] += back.data[i];
      }
      return { loss, gradient };
    };
    const numeric = await numericGradient(async (Zs) => (await evaluateAll(Zs)).loss, input.Zs, 3e-4);
    expect(relativeError((await evaluateAll(input.Zs)).gradient.data, numeric)).toBeLessThan(1e-6);
  });
});
