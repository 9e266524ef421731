import { describe, expect, it } from "vitest";
import { DataError } from "../../src/errors.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { centroidImages, randomImages } from "../../src/select/coresets.ts";
import { herdingImages } from "../../src/select/herding.ts";
import { kmeans, kmeansImages } from "../../src/select/kmeans.ts";
import { neighborImages } from "../../src/select/neighbors.ts";

const d = 3;

/** `n` features of two classes in turn, each class around three corners of its own. */
function corners(n: number, seed: number): FeatureRows & { readonly features: Float32Array } {
  const random = seededRandom(seed, "corners");
  const labels = Int32Array.from({ length: n }, (_, i) => i % 2);
  const features = new Float32Array(n * d);
  for (let i = 0; i < n; i++) {
    const corner = Math.floor(i / 2) % 3;
    for (let j = 0; j < d; j++) {
      features[i * d + j] = (j === corner ? 10 : 1) + (labels[i] ? 3 : 0) + random.normal();
    }
  }
  return { ...featuresInMemory(features, labels), features };
}

const rowOf = (set: { features: Float32Array }, i: number) => [...set.features.subarray(i * d, (i + 1) * d)];
const squared = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, x, j) => sum + (x - b[j]) ** 2, 0);
const unit = (a: readonly number[]) => a.map((x) => x / Math.hypot(...a));
const ofClass = (set: FeatureRows, c: number) =>
  Array.from({ length: set.count }, (_, i) => i).filter((i) => set.labels[i] === c);
const mean = (rows: readonly number[][]) =>
  rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[j], 0) / rows.length);

const set = corners(60, 1);
const everyWay: [string, (ipc: number, memoryBytes?: number) => Promise<Int32Array>][] = [
  ["random", async (ipc) => randomImages(set.labels, 2, ipc, 3)],
  ["centroid", (ipc) => centroidImages(set, 2, ipc)],
  [
    "kmeans",
    (ipc, memoryBytes) => kmeansImages(set, 2, ipc, 3, memoryBytes === undefined ? {} : { memoryBytes }),
  ],
  [
    "herding",
    (ipc, memoryBytes) => herdingImages(set, 2, ipc, memoryBytes === undefined ? {} : { memoryBytes }),
  ],
  [
    "neighbors",
    (ipc, memoryBytes) =>
      neighborImages(
        set,
        2,
        ipc,
        corners(2 * ipc, 9).features,
        memoryBytes === undefined ? {} : { memoryBytes },
      ),
  ],
];

describe.each(everyWay)("%s", (_, choose) => {
  it.each([1, 4, 30])("takes %i different images of each class, in class order", async (ipc) => {
    const chosen = [...(await choose(ipc))];
    expect(chosen.map((i) => set.labels[i])).toEqual(
      Array.from({ length: 2 * ipc }, (_, i) => Math.floor(i / ipc)),
    );
    expect(new Set(chosen).size).toBe(2 * ipc);
  });

  it("takes the same images without holding a class in memory", async () => {
    expect(await choose(4, 0)).toEqual(await choose(4));
  });

  it("refuses more images than a class has", async () => {
    await expect(choose(31)).rejects.toThrow(DataError);
  });
});

describe("k-means coreset", () => {
  it("with one image a class is the centroid baseline", async () => {
    expect(await kmeansImages(set, 2, 1, 5)).toEqual(await centroidImages(set, 2, 1));
  });

  it("finds the three corners of a class, and the image nearest to each one's mean", async () => {
    const chosen = [...(await kmeansImages(set, 2, 3, 0))];
    for (const c of [0, 1]) {
      const expected = [0, 1, 2].map((corner) => {
        const rows = ofClass(set, c).filter((i) => Math.floor(i / 2) % 3 === corner);
        const center = mean(rows.map((i) => rowOf(set, i)));
        return rows.reduce((a, b) =>
          squared(rowOf(set, b), center) < squared(rowOf(set, a), center) ? b : a,
        );
      });
      expect(new Set(chosen.slice(3 * c, 3 * c + 3))).toEqual(new Set(expected));
    }
  });

  it("ends where every center is the mean of its cluster and every row is with its nearest center", async () => {
    const { centers, assignment, distances, inertia } = await kmeans(set, 5, seededRandom(2, "test"));
    const center = (c: number) => [...centers.data.subarray(c * d, (c + 1) * d)];
    for (let c = 0; c < 5; c++) {
      const own = mean([...assignment.keys()].filter((i) => assignment[i] === c).map((i) => rowOf(set, i)));
      for (const [j, x] of own.entries()) expect(center(c)[j]).toBeCloseTo(x, 10);
    }
    for (const [i, c] of assignment.entries()) {
      const all = [0, 1, 2, 3, 4].map((k) => squared(rowOf(set, i), center(k)));
      expect(all[c]).toBe(Math.min(...all));
      expect(distances[i]).toBeCloseTo(all[c], 8);
    }
    expect(inertia).toBeCloseTo(
      distances.reduce((a, b) => a + b, 0),
      8,
    );
  });

  it("keeps the restart of least inertia", async () => {
    const run = (restarts: number) => kmeans(set, 6, seededRandom(4, "test"), { restarts });
    const [one, ten] = [await run(1), await run(10)];
    expect(ten.inertia).toBeLessThanOrEqual(one.inertia);
  });

  it("fills up with other images where a class has fewer different ones", async () => {
    const same = featuresInMemory(new Float32Array(8 * d).fill(1), new Int32Array(8));
    expect(new Set(await kmeansImages(same, 1, 5, 0)).size).toBe(5);
  });
});

describe("herding coreset", () => {
  // iCaRL, algorithm 4, by the definition; Welling's form, w ← w + μ − φ(x), picks the same on unit vectors.
  it("takes what brings the running mean nearest to the class mean", async () => {
    const chosen = [...(await herdingImages(set, 2, 6))];
    for (const c of [0, 1]) {
      const rows = ofClass(set, c);
      const unit = new Map(
        rows.map((i) => {
          const norm = Math.sqrt(squared(rowOf(set, i), [0, 0, 0]));
          return [i, rowOf(set, i).map((x) => x / norm)] as const;
        }),
      );
      const mu = mean([...unit.values()]);
      const icarl: number[] = [];
      const welling: number[] = [];
      let w = [...mu];
      for (let k = 0; k < 6; k++) {
        const left = (taken: number[]) => rows.filter((i) => !taken.includes(i));
        const off = (i: number) => squared(mean([...icarl, i].map((p) => unit.get(p)!)), mu);
        icarl.push(left(icarl).reduce((a, b) => (off(b) < off(a) ? b : a)));
        const along = (i: number) => unit.get(i)!.reduce((sum, x, j) => sum + x * w[j], 0);
        const next = left(welling).reduce((a, b) => (along(b) > along(a) ? b : a));
        welling.push(next);
        w = w.map((x, j) => x + mu[j] - unit.get(next)![j]!);
      }
      expect(chosen.slice(6 * c, 6 * c + 6)).toEqual(icarl);
      expect(welling).toEqual(icarl);
    }
  });
});

describe("nearest neighbors", () => {
  it("are the real images themselves where synthetic ones equal them", async () => {
    const rows = [ofClass(set, 0)[7], ofClass(set, 0)[2], ofClass(set, 1)[9], ofClass(set, 1)[1]];
    const synthetic = Float32Array.from(rows.flatMap((i) => rowOf(set, i)));
    expect([...(await neighborImages(set, 2, 2, synthetic))]).toEqual(rows);
  });

  it("are of the image's own class, though another's are nearer", async () => {
    const other = ofClass(set, 1)[0];
    const own = ofClass(set, 0);
    const synthetic = Float32Array.from([...rowOf(set, other), ...rowOf(set, other)]);
    const [chosen] = await neighborImages(set, 2, 1, synthetic);
    const distance = (i: number) => squared(unit(rowOf(set, i)), unit(rowOf(set, other)));
    expect(chosen).toBe(own.reduce((a, b) => (distance(b) < distance(a) ? b : a)));
  });

  it("give an image that two are nearest to the nearer one", async () => {
    const at = (...degrees: number[]) =>
      Float32Array.from(
        degrees.flatMap((x) => [Math.cos((x * Math.PI) / 180), Math.sin((x * Math.PI) / 180)]),
      );
    const circle = featuresInMemory(at(0, 10, 50), new Int32Array(3));
    expect([...(await neighborImages(circle, 1, 2, at(4, 1)))]).toEqual([1, 0]);
  });

  it("do not depend on the length of the synthetic features", async () => {
    const synthetic = corners(2, 9).features;
    const short = synthetic.map((x) => x / 100);
    expect(await neighborImages(set, 2, 1, short)).toEqual(await neighborImages(set, 2, 1, synthetic));
  });
});
