import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DataError, NumericalError, UsageError } from "../../src/errors.ts";
import { ClassSums } from "../../src/probe/class-sums.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { type Matrix, matrix, rowsOf } from "../../src/probe/matrix.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { RidgeAccumulator } from "../../src/probe/ridge-accumulator.ts";
import { randomNumbers, relativeError } from "../support/check-rule.ts";
import { randomMatrix } from "../support/matrices.ts";

const labelsOf = (n: number, classes: number, seed: number): Int32Array => {
  const random = randomNumbers(seed);
  return Int32Array.from({ length: n }, () => Math.floor(((random() + 1) / 2) * classes));
};

const addInBatches = async (
  accumulator: RidgeAccumulator,
  Z: Matrix,
  y: Int32Array,
  size: number,
): Promise<void> => {
  for (let at = 0; at < Z.rows; at += size) {
    const end = Math.min(Z.rows, at + size);
    await accumulator.add(rowsOf(Z, at, end), y.subarray(at, end));
  }
};

describe("RidgeAccumulator", () => {
  it("solves what solveRidge solves on all features at once, for every lambda", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 1, max: 15 }),
        fc.integer(),
        async (n, d, classes, size, seed) => {
          const Z = randomMatrix(n, d, seed);
          const y = labelsOf(n, classes, seed + 1);
          const accumulator = new RidgeAccumulator(d, classes);
          await addInBatches(accumulator, Z, y, size);
          const lambdas = [0.01, 0.5];
          const fitted = await accumulator.solve(lambdas);
          for (const [k, lambda] of lambdas.entries()) {
            const whole = await solveRidge(Z, centeredOneHot(y, classes), { lambda, space: "feature" });
            expect(fitted[k].lambda).toBe(lambda);
            expect(fitted[k].shift).toBeCloseTo(whole.shift, 12);
            expect(relativeError(fitted[k].weight.data, whole.weight.data)).toBeLessThan(1e-9);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it("merges with another as if it had seen its features", async () => {
    const [Z, y] = [randomMatrix(50, 6, 1), labelsOf(50, 3, 2)];
    const [all, first, second] = [0, 1, 2].map(() => new RidgeAccumulator(6, 3));
    await all!.add(Z, y);
    await first!.add(rowsOf(Z, 0, 31), y.subarray(0, 31));
    await second!.add(rowsOf(Z, 31, 50), y.subarray(31));
    first!.merge(second!);
    expect(first!.count).toBe(50);
    const [a, b] = [await all!.solve([0.1]), await first!.solve([0.1])];
    expect(relativeError(b[0].weight.data, a[0].weight.data)).toBeLessThan(1e-12);
    expect(relativeError(first!.classMeans().data, all!.classMeans().data)).toBeLessThan(1e-14);
  });

  it("takes raw float32 rows too", async () => {
    const Z = matrix(4, 2, Float64Array.of(1, 2, 0.5, -1, 3, 0.25, -2, 1));
    const y = Int32Array.of(0, 1, 1, 0);
    const [a, b] = [new RidgeAccumulator(2, 2), new RidgeAccumulator(2, 2)];
    await a.add(Z, y);
    await b.add(Float32Array.from(Z.data), y);
    expect(await b.solve([1])).toEqual(await a.solve([1]));
  });

  it("refuses bad features, labels and lambdas, and is then as before", async () => {
    const accumulator = new RidgeAccumulator(2, 3);
    const [Z, y] = [randomMatrix(5, 2, 1), Int32Array.of(0, 1, 2, 0, 1)];
    await accumulator.add(Z, y);
    const before = await accumulator.solve([0.1]);
    await expect(
      accumulator.add(
        Z,
        y.map(() => 3),
      ),
    ).rejects.toThrow(DataError);
    await expect(accumulator.add(Z, [0, 1, 0.5, 0, 1])).rejects.toThrow("row 7 is 0.5");
    const broken = matrix(5, 2, Z.data.slice());
    broken.data[4] = Number.NaN;
    await expect(accumulator.add(broken, y)).rejects.toThrow(NumericalError);
    expect(await accumulator.solve([0.1])).toEqual(before);
    expect(accumulator.count).toBe(5);
    await expect(accumulator.solve([0.1, 0])).rejects.toThrow(UsageError);
    await expect(new RidgeAccumulator(2, 3).solve([1])).rejects.toThrow(DataError);
  });
});

describe("ClassSums", () => {
  it("gives the mean of each class, and zero for a class not seen", () => {
    const sums = new ClassSums(3, 2);
    sums.add(matrix(3, 2, Float64Array.of(1, 2, 3, 4, 10, 20)), [2, 2, 0]);
    expect([...sums.means().data]).toEqual([10, 20, 0, 0, 2, 3]);
    expect([...sums.counts]).toEqual([1, 0, 2]);
  });
});
