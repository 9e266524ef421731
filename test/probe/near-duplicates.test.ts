import { expect, it } from "vitest";
import { featureMap } from "../../src/probe/feature-map.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { closestPairs } from "../../src/probe/signatures.ts";
import { seededRandom } from "../../src/random.ts";

/** Random rows; every tenth of the second half is a noisy copy of one of the first half, some nearer than others. */
function rowsWithCopies(n: number, d: number, noise: number): Float32Array {
  const random = seededRandom(4, "rows");
  const rows = Float32Array.from({ length: n * d }, () => random.normal());
  for (let i = n / 2; i < n; i += 10) {
    const own = noise * random.uniform();
    for (let j = 0; j < d; j++) rows[i * d + j] = rows[(i - n / 2) * d + j] + own * random.normal();
  }
  return rows;
}

/** Pairs of rows with a cosine of at least `least`, by comparing all with all. */
function allPairs(rows: Float32Array, n: number, d: number, least: number): string[] {
  const norms = Array.from({ length: n }, (_, i) => Math.hypot(...rows.subarray(i * d, (i + 1) * d)));
  const found: string[] = [];
  for (let a = 0; a < n; a++) {
    for (let b = a + 1; b < n; b++) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += rows[a * d + j] * rows[b * d + j];
      if (dot / norms[a] / norms[b] >= least) found.push(`${a} ${b}`);
    }
  }
  return found;
}

const part = (rows: Float32Array, d: number, from: number, to: number) =>
  featuresInMemory(rows.subarray(from * d, to * d), new Int32Array(to - from));
const named = ({ first, second }: { first: number; second: number }) => `${first} ${second}`;

it("pairs of two sources are those that comparing all rows with all gives", async () => {
  const [n, d] = [600, 12];
  const rows = rowsWithCopies(n, d, 0.25);
  const expected = allPairs(rows, n, d, 0.95);
  expect(expected.length).toBeGreaterThan(15);
  const sources = [part(rows, d, 0, 350), part(rows, d, 350, n)];
  const { pairs, from } = await similarPairs(sources, featureMap({ normalization: "l2" }), 0.95);
  expect(pairs.map(named).sort()).toEqual(expected.sort());
  expect(from).toBe(0.95);
  const similarities = pairs.map(({ similarity }) => similarity);
  expect(similarities).toEqual([...similarities].sort((a, b) => b - a));
});

it("of pairs at a low cosine nearly all are found, and no others", async () => {
  const [n, d] = [2000, 48];
  const rows = rowsWithCopies(n, d, 1.6);
  const expected = new Set(allPairs(rows, n, d, 0.5));
  expect(expected.size).toBeGreaterThan(100);
  const { pairs } = await similarPairs([part(rows, d, 0, n)], featureMap({ normalization: "l2" }), 0.5);
  expect(pairs.filter((pair) => !expected.has(named(pair)))).toEqual([]);
  expect(pairs.length).toBeGreaterThan(0.9 * expected.size);
});

it("of more pairs than are kept those are that differ in the fewest signs, and how far they reach is said", () => {
  // Row r has r bits, so that rows r and s differ in |r − s| of them: 31 pairs in one, 30 in two, 29 in three, …
  const data = Int32Array.from({ length: 32 }, (_, r) => 2 ** r - 1);
  const signatures = { data, words: 1, count: 32 };
  const distances = (most: number) => {
    const { keys, from } = closestPairs(signatures, 0.5, most);
    return { distances: Array.from(keys, (key) => (key % 32) - Math.floor(key / 32)), from };
  };
  expect(distances(50).distances).toEqual(Array(31).fill(1));
  expect(distances(100).distances.sort()).toEqual([
    ...Array(31).fill(1),
    ...Array(30).fill(2),
    ...Array(29).fill(3),
  ]);
  expect(distances(100).from).toBeGreaterThan(0.5);
  expect(distances(1000).from).toBe(0.5);
  // All alike: no pair is closer than another.
  const same = closestPairs({ ...signatures, data: new Int32Array(32) }, 0.5, 50);
  expect([same.keys.length, same.from]).toEqual([50, 1]);
});
