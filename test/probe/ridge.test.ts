import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { DataError, NumericalError, UsageError } from "../../src/errors.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { innerProduct, type Matrix, matrix, transpose } from "../../src/probe/matrix.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { relativeError } from "../support/check-rule.ts";
import {
  identity,
  naiveProduct,
  numericGradient,
  randomMatrix,
  singularValues,
} from "../support/matrices.ts";

const ort = ortGemm(nodeRuntime({ threads: 1 }));
afterAll(() => ort.release());

const problems = fc
  .record({
    m: fc.integer({ min: 1, max: 9 }),
    d: fc.integer({ min: 1, max: 9 }),
    C: fc.integer({ min: 2, max: 5 }),
    lambda: fc.double({ min: 0.01, max: 3, noNaN: true }),
    seed: fc.integer(),
  })
  .map(({ m, d, C, lambda, seed }) => ({
    Zs: randomMatrix(m, d, seed),
    Ys: randomMatrix(m, C, seed + 1),
    G: randomMatrix(d, C, seed + 2),
    lambda,
  }));

describe("solveRidge", () => {
  it("satisfies the normal equations (ZsᵀZs + rI) W = Zsᵀ Ys with r = λ tr(K)/m, in both spaces", async () => {
    await fc.assert(
      fc.asyncProperty(problems, fc.constantFrom("sample" as const, "feature" as const), async (p, space) => {
        const { weight, shift } = await solveRidge(p.Zs, p.Ys, { lambda: p.lambda, space });
        expect(shift).toBeCloseTo((p.lambda * innerProduct(p.Zs, p.Zs)) / p.Zs.rows, 12);
        const left = naiveProduct(p.Zs, naiveProduct(p.Zs, weight), true);
        for (let i = 0; i < left.data.length; i++) left.data[i] += shift * weight.data[i];
        expect(relativeError(left.data, naiveProduct(p.Zs, p.Ys, true).data)).toBeLessThan(1e-11);
      }),
    );
  });

  it("solves the smaller system by default", async () => {
    const Ys = (m: number) => randomMatrix(m, 3, 1);
    expect((await solveRidge(randomMatrix(4, 6, 2), Ys(4), { lambda: 1 })).space).toBe("sample");
    expect((await solveRidge(randomMatrix(6, 4, 2), Ys(6), { lambda: 1 })).space).toBe("feature");
  });

  it("has the adjoint of central differences, in both spaces", async () => {
    await fc.assert(
      fc.asyncProperty(problems, fc.constantFrom("sample" as const, "feature" as const), async (p, space) => {
        const { lambda, G } = p;
        const value = async (Zs: Matrix, Ys: Matrix): Promise<number> =>
          innerProduct(G, (await solveRidge(Zs, Ys, { lambda, space })).weight);
        const { adjoint } = await solveRidge(p.Zs, p.Ys, { lambda, space });
        const { dZs, dYs } = await adjoint(G);
        const scale = Math.max(...p.Zs.data.map(Math.abs));
        const byZs = await numericGradient((Zs) => value(Zs, p.Ys), p.Zs, 1e-3 * scale);
        const byYs = await numericGradient((Ys) => value(p.Zs, Ys), p.Ys);
        expect(relativeError(dZs.data, byZs)).toBeLessThan(1e-6);
        expect(relativeError(dYs.data, byYs)).toBeLessThan(1e-6);
      }),
      { numRuns: 60 },
    );
  });

  it("has the same adjoint in both spaces, through every order of products, also at a tiny lambda", async () => {
    for (const [m, d, C] of [
      [30, 50, 30],
      [30, 50, 3],
      [50, 30, 3],
      [50, 30, 45],
      [40, 40, 10],
    ] as const) {
      for (const lambda of [1e-6, 1]) {
        const [Zs, Ys, G] = [randomMatrix(m, d, 1), randomMatrix(m, C, 2), randomMatrix(d, C, 3)];
        const [sample, feature] = await Promise.all(
          (["sample", "feature"] as const).map(async (space) => {
            const solution = await solveRidge(Zs, Ys, { lambda, space });
            return { ...solution, ...(await solution.adjoint(G)) };
          }),
        );
        // The larger of the two systems is singular but for r: its condition number is about 10/λ.
        const tolerance = 1e-14 * (100 + 100 / lambda);
        expect(relativeError(sample!.weight.data, feature!.weight.data)).toBeLessThan(tolerance);
        expect(relativeError(sample!.dZs.data, feature!.dZs.data)).toBeLessThan(tolerance);
        expect(relativeError(sample!.dYs.data, feature!.dYs.data)).toBeLessThan(tolerance);
      }
    }
  });

  it("keeps weight and adjoint to rounding error of the smaller system, however small lambda is", async () => {
    interface Case {
      readonly m: number;
      readonly d: number;
      readonly classes: number;
      readonly lambda: number;
      readonly condition: number;
      readonly [name: string]: number | number[];
    }
    const url = new URL("../fixtures/ridge/adjoint.json", import.meta.url);
    const cases: readonly Case[] = JSON.parse(readFileSync(url, "utf8"));
    expect(cases.some((c) => c.lambda < 1e-8)).toBe(true);
    for (const c of cases) {
      const read = (rows: number, cols: number, name: string) =>
        matrix(rows, cols, Float64Array.from(c[name] as number[]));
      const { m, d, classes, lambda } = c;
      const solution = await solveRidge(read(m, d, "Z"), read(m, classes, "Y"), { lambda });
      const { dZs, dYs } = await solution.adjoint(read(d, classes, "G"));
      // The larger system's condition number would be about 1/λ: an error of 1e-8 in the last cases.
      const tolerance = 20 * Number.EPSILON * c.condition;
      expect(relativeError(solution.weight.data, c.W as number[])).toBeLessThan(tolerance);
      expect(relativeError(dZs.data, c.dZ as number[])).toBeLessThan(tolerance);
      expect(relativeError(dYs.data, c.dY as number[])).toBeLessThan(tolerance);
    }
  });

  it("gives the same through ONNX Runtime, over several Cholesky blocks", async () => {
    const [Zs, Ys, G] = [randomMatrix(150, 210, 1), randomMatrix(150, 60, 2), randomMatrix(210, 60, 3)];
    const slow = await solveRidge(Zs, Ys, { lambda: 0.1 });
    const fast = await solveRidge(Zs, Ys, { lambda: 0.1, gemm: chooseGemm(jsGemm, ort) });
    expect(relativeError(fast.weight.data, slow.weight.data)).toBeLessThan(1e-12);
    const [a, b] = [await slow.adjoint(G), await fast.adjoint(G)];
    expect(relativeError(b.dZs.data, a.dZs.data)).toBeLessThan(1e-12);
    expect(relativeError(b.dYs.data, a.dYs.data)).toBeLessThan(1e-12);
  });

  it("refuses lambda ≤ 0 or not finite, as wrong usage", async () => {
    for (const lambda of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const failure = solveRidge(randomMatrix(2, 3, 1), randomMatrix(2, 2, 2), { lambda });
      await expect(failure).rejects.toThrow(UsageError);
      await expect(failure).rejects.toThrow(`got ${lambda}`);
    }
  });

  it("names the row of a non-finite feature or label", async () => {
    const Zs = randomMatrix(4, 3, 1);
    const Ys = randomMatrix(4, 2, 2);
    Zs.data[7] = Number.NaN;
    const failure = solveRidge(Zs, Ys, { lambda: 1 });
    await expect(failure).rejects.toThrow(NumericalError);
    await expect(failure).rejects.toThrow(/features: row 2 of 4 holds NaN/);
    Zs.data[7] = 0;
    Ys.data[6] = Number.NEGATIVE_INFINITY;
    await expect(solveRidge(Zs, Ys, { lambda: 1 })).rejects.toThrow(/labels: row 3 of 4/);
  });

  it("says that features are all zero through the pivot, not with NaN", async () => {
    const failure = solveRidge(matrix(3, 5), randomMatrix(3, 2, 1), { lambda: 0.1 });
    await expect(failure).rejects.toThrow(NumericalError);
    await expect(failure).rejects.toThrow("all-zero");
  });
});

// Chen et al., NeurIPS 2024: with one image per class the ridge solution can be any W if r ≤ 1/(4 σ₁²), σ the
// singular values of D = (Ysᵀ)⁺ Wᵀ = U diag(σ) Vᵀ; Zs = U diag((1 ± √(1 − 4 r σ²)) / (2σ)) Vᵀ.
describe("exact recovery of a target weight from one sample per class", () => {
  const targets = fc.record({
    C: fc.integer({ min: 2, max: 6 }),
    extra: fc.integer({ min: 0, max: 5 }),
    seed: fc.integer(),
    share: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
  });
  const recovered = async (
    Ys: Matrix,
    inverse: Matrix,
    target: Matrix,
    share: number,
    root: (k: number) => 1 | -1,
  ): Promise<number> => {
    const C = Ys.rows;
    const D = naiveProduct(inverse, target, true, true);
    const { U: V, s: sigma, V: U } = singularValues(transpose(D));
    const r = share / (4 * Math.max(...sigma) ** 2);
    // A direction the labels do not span (σ = 0) is left out: its sample features are zero.
    const tiny = 1e-9 * Math.max(...sigma);
    const s = sigma.map((v, k) => (v > tiny ? (1 + root(k) * Math.sqrt(1 - 4 * r * v * v)) / (2 * v) : 0));
    const scaled = matrix(
      C,
      C,
      U.data.map((u, i) => u * s[i % C]),
    );
    const Zs = naiveProduct(scaled, V, false, true);
    const lambda = (r * C) / innerProduct(Zs, Zs);
    const { weight, shift } = await solveRidge(Zs, Ys, { lambda });
    expect(shift).toBeCloseTo(r, 10);
    return relativeError(weight.data, target.data);
  };

  it.each([
    ["the plus root", () => 1 as const],
    ["the minus root", () => -1 as const],
    ["alternating roots", (k: number) => (k % 2 === 0 ? (1 as const) : (-1 as const))],
  ])("holds for one-hot labels and %s", async (_, root) => {
    await fc.assert(
      fc.asyncProperty(targets, async ({ C, extra, seed, share }) => {
        const target = randomMatrix(C + extra, C, seed);
        fc.pre(singularValues(target).s.every((v) => v > 1e-2));
        expect(await recovered(identity(C), identity(C), target, share, root)).toBeLessThan(1e-8);
      }),
    );
  });

  it("holds for labels minus 1/C, whose targets sum to zero over the classes", async () => {
    await fc.assert(
      fc.asyncProperty(targets, fc.constantFrom(1 as const, -1 as const), async (t, sign) => {
        const Ys = centeredOneHot(
          Array.from({ length: t.C }, (_, i) => i),
          t.C,
        );
        // Ys is the projection off the constant vector: its own pseudo-inverse.
        const target = naiveProduct(randomMatrix(t.C + t.extra, t.C, t.seed), Ys);
        const { s } = singularValues(target);
        fc.pre([...s].filter((v) => v > 1e-2).length === t.C - 1);
        expect(await recovered(Ys, Ys, target, t.share, () => sign)).toBeLessThan(1e-8);
      }),
    );
  });
});

describe("centeredOneHot", () => {
  it("is one-hot minus 1/C", () => {
    expect(centeredOneHot([1, 0], 4)).toEqual(
      matrix(2, 4, Float64Array.of(-0.25, 0.75, -0.25, -0.25, 0.75, -0.25, -0.25, -0.25)),
    );
  });

  it("names a label that is not a class", () => {
    expect(() => centeredOneHot([0, 4], 4)).toThrow(DataError);
    expect(() => centeredOneHot([0, 4], 4)).toThrow(/row 1 is 4; .*from 0 to 3/);
  });
});
