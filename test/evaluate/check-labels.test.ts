import { expect, it } from "vitest";
import { checkLabels, confusedPairs } from "../../src/evaluate/check-labels.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

/** Rows around a corner of the simplex for each class, the labels of one in `flipEvery` moved to the next class. */
function clusters(count: number, classes: number, noise: number, flipEvery: number) {
  const random = seededRandom(9, "clusters");
  const d = 8;
  const truth = Int32Array.from({ length: count }, (_, i) => i % classes);
  const features = Float32Array.from(
    { length: count * d },
    (_, at) => (at % d === truth[Math.floor(at / d)] ? 2 : 0) + noise * random.normal(),
  );
  const flipped = new Set(Array.from({ length: Math.floor(count / flipEvery) }, (_, i) => i * flipEvery));
  const labels = truth.map((label, i) => (flipped.has(i) ? (label + 1) % classes : label));
  return { train: featuresInMemory(features, labels), features, truth, flipped, d };
}
const map = featureMap({ normalization: "none" });

it("flipped labels are suspected, with the class that they had, and ranked before others", async () => {
  const { train, truth, flipped } = clusters(400, 4, 0.4, 10);
  const { suspects, confusion, accuracy } = await checkLabels(train, 4, map, jsGemm);
  // Average precision of the ranking.
  let found = 0;
  let sum = 0;
  for (const [i, { row }] of suspects.entries()) if (flipped.has(row)) sum += ++found / (i + 1);
  expect(sum / flipped.size).toBeGreaterThan(0.95);
  expect(suspects.filter(({ confident }) => confident).every(({ row }) => flipped.has(row))).toBe(true);
  for (const { row, suggested } of suspects.slice(0, 30)) expect(suggested).toBe(truth[row]);
  expect(confusion.flat().reduce((total, n) => total + n, 0)).toBe(400);
  expect(accuracy).toBeGreaterThan(0.85);
  expect(accuracy).toBeLessThanOrEqual(0.91);
});

it("without wrong labels nothing is suspected, and a row far from all others is an outlier", async () => {
  const { train, features, d } = clusters(400, 4, 0.1, 1000);
  features.fill(6, 17 * d, 18 * d);
  const { suspects, outliers } = await checkLabels(train, 4, map, jsGemm);
  expect(suspects.filter(({ row, confident }) => confident && row !== 0 && row !== 17)).toEqual([]);
  expect(outliers[0]?.row).toBe(17);
});

it("classes are not told apart where a quarter of their rows get each other's name", () => {
  const confusion = [
    [6, 4, 0],
    [2, 8, 0],
    [1, 0, 9],
  ];
  expect(confusedPairs(confusion)).toEqual([{ classes: [0, 1], share: 6 / 20 }]);
});
