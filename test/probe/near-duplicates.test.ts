import { expect, it } from "vitest";
import { featureMap } from "../../src/probe/feature-map.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

it("pairs of two sources are those that comparing all rows with all gives", async () => {
  const random = seededRandom(4, "rows");
  const [n, d] = [600, 12];
  const rows = Float32Array.from({ length: n * d }, () => random.normal());
  // Every tenth row is a noisy copy of the one 300 before it, some nearer than others.
  for (let i = 300; i < n; i += 10) {
    for (let j = 0; j < d; j++)
      rows[i * d + j] = rows[(i - 300) * d + j] + 0.25 * random.uniform() * random.normal();
  }
  const norm = (i: number) => Math.hypot(...rows.subarray(i * d, (i + 1) * d));
  const expected: string[] = [];
  for (let a = 0; a < n; a++) {
    for (let b = a + 1; b < n; b++) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += rows[a * d + j] * rows[b * d + j];
      if (dot / norm(a) / norm(b) >= 0.95) expected.push(`${a} ${b}`);
    }
  }
  expect(expected.length).toBeGreaterThan(15);
  const part = (from: number, to: number) =>
    featuresInMemory(rows.subarray(from * d, to * d), new Int32Array(to - from));
  const found = await similarPairs([part(0, 350), part(350, n)], featureMap({ normalization: "l2" }), 0.95);
  expect(found.map(({ first, second }) => `${first} ${second}`).sort()).toEqual(expected.sort());
  const similarities = found.map(({ similarity }) => similarity);
  expect(similarities).toEqual([...similarities].sort((a, b) => b - a));
});
