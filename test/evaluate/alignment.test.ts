import { expect, test } from "vitest";
import { alignmentOf, nearestImages, sampledRows } from "../../src/evaluate/alignment.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { featuresInMemory, randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

const every = (count: number) => Int32Array.from({ length: count }, (_, i) => i);

test("neighbors are the images at the smallest angles, whatever the features' lengths, and never the image itself", async () => {
  // Angles in degrees, no two pairs of which are equally near.
  const degrees = [0, 10, 30, 65, 101];
  const points = degrees.flatMap((angle, i) => {
    const t = (Math.PI * angle) / 180;
    return [(i + 1) * Math.cos(t), (i + 1) * Math.sin(t)];
  });
  const features = featuresInMemory(Float32Array.from(points), new Int32Array(5));
  const nearest = await nearestImages(features, every(5), 2, jsGemm);
  const sets = degrees.map((_, i) => [...nearest.subarray(2 * i, 2 * i + 2)].sort());
  expect(sets).toEqual([[1, 2], [0, 2], [0, 1], [2, 4].sort(), [2, 3]]);
});

test("alignment is the mean share of neighbors in common, with its standard error", () => {
  const a = Int32Array.of(1, 2, 0, 2, 0, 1, 0, 1);
  const b = Int32Array.of(2, 1, 0, 3, 3, 1, 2, 3);
  // Shares 1, ½, ½ and 0: mean ½, variance (¼ + ¼) / 3.
  const { alignment, error, chance } = alignmentOf(a, b, 2);
  expect(alignment).toBe(0.5);
  expect(error).toBeCloseTo(Math.sqrt(0.5 / 3 / 4), 12);
  expect(chance).toBe(2 / 3);
});

test("an encoder is aligned with itself turned and scaled, and with noise by chance", async () => {
  const d = 6;
  const count = 600;
  const features = randomFeatures(seededRandom(1, "a"), count, d, 2);
  const raw = new Float32Array(count * d);
  await features.rows(every(count), raw);
  // Features in another order and twice as long have the same angles.
  const turned = raw.map((_, i) => 2 * raw[Math.floor(i / d) * d + ((i + 1) % d)]);
  const noise = randomFeatures(seededRandom(2, "b"), count, d, 2);
  const of = (rows: typeof features) => nearestImages(rows, every(count), 10, jsGemm);
  const own = await of(features);
  expect(
    alignmentOf(own, await of({ ...noise, ...featuresInMemory(turned, features.labels) }), 10).alignment,
  ).toBeGreaterThan(0.99);
  const { alignment, error, chance } = alignmentOf(own, await of(noise), 10);
  expect(Math.abs(alignment - chance)).toBeLessThan(4 * error);
});

test("a sample has no image twice, is in order and the same again", () => {
  const rows = sampledRows(1000, 50);
  expect(new Set(rows).size).toBe(50);
  expect([...rows]).toEqual([...rows].sort((a, b) => a - b));
  expect(sampledRows(1000, 50)).toEqual(rows);
  expect(sampledRows(7, 50)).toEqual(every(7));
});
