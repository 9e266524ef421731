import { expect, test } from "vitest";
import { addPull, chooseTargets, targetBasis } from "../../src/distill/target-features.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

const random = seededRandom(0, "target features");
const normals = (count: number) => Float32Array.from({ length: count }, () => random.normal());

test("the range of real features: least, largest, deviation", async () => {
  const features = Float32Array.of(1, -2, 3, 0, 5, 2);
  const real = featuresInMemory(features, Int32Array.of(0, 1, 0));
  const { low, high, scale } = (await targetBasis(real, 2, 1)).range;
  expect([...low]).toEqual([1, -2]);
  expect([...high]).toEqual([5, 2]);
  // Variances of 1, 3, 5 and −2, 0, 2: 8/3 both.
  expect(scale).toBeCloseTo(Math.sqrt(8 / 3), 6);
});

test("means of the parts of each class", async () => {
  const real = featuresInMemory(Float32Array.of(1, 2, 3, 5, 4, 7), Int32Array.of(0, 0, 0, 1, 0, 1));
  // Class 0 has 1, 2, 3, 4: its parts are {1, 3} and {2, 4}.
  expect([...(await targetBasis(real, 2, 2)).start]).toEqual([2, 3, 5, 7]);
  expect([...(await targetBasis(real, 2, 1)).start]).toEqual([2.5, 6]);
});

test("targets come nearer to what the objective wants, within the range, and leave the start alone", async () => {
  const d = 4;
  const wanted = normals(2 * d);
  const start = wanted.map((x) => x + 1.5);
  const before = start.slice();
  const range = { low: new Float32Array(d).fill(-1), high: new Float32Array(d).fill(1), scale: 1 };
  const targets = await chooseTargets(start, range, 100, async (z) => z.map((x, i) => 10 * (x - wanted[i])));
  expect(start).toEqual(before);
  for (const [i, x] of targets.entries()) {
    expect(Math.abs(x)).toBeLessThanOrEqual(1);
    const reachable = Math.min(1, Math.max(-1, wanted[i]));
    const from = Math.min(1, Math.max(-1, start[i]));
    expect(Math.abs(x - reachable)).toBeLessThanOrEqual(Math.abs(from - reachable));
  }
  const distance = (z: Float32Array) => Math.hypot(...z.map((x, i) => x - wanted[i]));
  expect(distance(targets)).toBeLessThan(0.5 * distance(start));
});

test("the pull's gradient is that of its definition, each draw towards its image's target", () => {
  const targets = normals(2 * 3);
  const features = normals(2 * targets.length);
  const weight = 0.7;
  const value = (z: Float64Array) => {
    let distance = 0;
    let square = 0;
    for (const [i, x] of z.entries()) {
      distance += (x - targets[i % targets.length]) ** 2;
      square += targets[i % targets.length] ** 2;
    }
    return (weight * distance) / square;
  };
  const gradient = new Float32Array(features.length).fill(1);
  addPull(gradient, features, targets, weight);
  const at = Float64Array.from(features);
  for (let i = 0; i < at.length; i++) {
    const shifted = (by: number) => value(at.map((x, j) => (j === i ? x + by : x)));
    const numeric = (shifted(1e-4) - shifted(-1e-4)) / 2e-4;
    expect(gradient[i] - 1).toBeCloseTo(numeric, 5);
  }
});
