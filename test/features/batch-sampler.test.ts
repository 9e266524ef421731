import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BatchSampler, BatchSamplerState } from "../../src/features/batch-sampler.ts";

const sizes = fc
  .tuple(fc.integer({ min: 1, max: 60 }), fc.nat(), fc.integer())
  .map(([count, size, seed]) => ({ count, batchSize: 1 + (size % count), seed }));
const take = (sampler: BatchSampler, batches: number) =>
  Array.from({ length: batches }, () => [...sampler.next()]);

describe("batches of real images", () => {
  it("never repeat an index within an epoch and stay in range", () => {
    fc.assert(
      fc.property(sizes, ({ count, batchSize, seed }) => {
        const sampler = new BatchSampler(count, batchSize, seed);
        const perEpoch = Math.floor(count / batchSize);
        for (let epoch = 0; epoch < 3; epoch++) {
          const seen = take(sampler, perEpoch).flat();
          expect(seen).toHaveLength(perEpoch * batchSize);
          expect(new Set(seen).size).toBe(seen.length);
          expect(seen.every((i) => Number.isInteger(i) && i >= 0 && i < count)).toBe(true);
        }
      }),
    );
  });

  it("go on exactly from a state that went through JSON, wherever it was taken", () => {
    fc.assert(
      fc.property(sizes, fc.nat({ max: 40 }), ({ count, batchSize, seed }, before) => {
        const sampler = new BatchSampler(count, batchSize, seed);
        take(sampler, before);
        const restored = BatchSampler.from(
          BatchSamplerState.parse(JSON.parse(JSON.stringify(sampler.state))),
        );
        expect(take(restored, 12)).toEqual(take(sampler, 12));
      }),
    );
  });

  it("come in another order in each epoch and for each seed", () => {
    const sampler = new BatchSampler(500, 500, 3);
    const first = sampler.next();
    expect(sampler.next()).not.toEqual(first);
    expect(new BatchSampler(500, 500, 4).next()).not.toEqual(first);
    expect(new BatchSampler(500, 500, 3).next()).toEqual(first);
  });

  it("reach every index at every place: position and index are independent", () => {
    // 4,000 epochs of 8 indices: each of the 64 (place, index) cells expects 500; chi-square with 49 degrees of
    // freedom exceeds 96 with probability 1e-4.
    const counts = new Float64Array(64);
    const sampler = new BatchSampler(8, 8, 11);
    for (let epoch = 0; epoch < 4000; epoch++) {
      for (const [place, index] of sampler.next().entries()) counts[place * 8 + index] += 1;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 500) ** 2 / 500, 0);
    expect(chiSquare).toBeLessThan(96);
  });

  it("cannot be larger than the data", () => {
    expect(() => new BatchSampler(3, 4, 0)).toThrow(/batches of 4 cannot be drawn from 3/);
    expect(() => new BatchSampler(3, 0, 0)).toThrow(RangeError);
  });
});
