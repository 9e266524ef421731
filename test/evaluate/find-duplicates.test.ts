import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { InterruptedError } from "../../src/errors.ts";
import { comparePairs, findDuplicates } from "../../src/evaluate/find-duplicates.ts";
import type { Item } from "../../src/images/types.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { jsGemm } from "../../src/probe/gemm.ts";
import { featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";

const side = 96;

/** A picture of one class: a bright disc with a few dark ones on it, before a colored slope. */
async function scene(seed: number): Promise<Buffer> {
  const random = seededRandom(seed, "scene");
  const spots = Array.from({ length: 4 }, () => ({
    x: side * (0.3 + 0.4 * random.uniform()),
    y: side * (0.3 + 0.4 * random.uniform()),
    r: side * (0.04 + 0.06 * random.uniform()),
  }));
  const data = new Uint8Array(3 * side * side);
  for (let k = 0; k < data.length; k++) {
    const [x, y, channel] = [Math.floor(k / 3) % side, Math.floor(k / 3 / side), k % 3];
    const inDisc = Math.hypot(x - side / 2, y - side / 2) < 0.4 * side;
    const inSpot = spots.some((spot) => Math.hypot(x - spot.x, y - spot.y) < spot.r);
    data[k] = inSpot ? [90, 40, 20][channel] : inDisc ? [220, 170, 40][channel] : [40, 70, 60 + x][channel];
  }
  return sharp(data, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

const margin = Math.round(0.1 * side);
const edge = side - 2 * margin;
const names = ["original", "mirrored", "cropped", "brighter", "JPEG", "another", "recolored"] as const;
let pictures: Buffer[];
beforeAll(async () => {
  const original = await scene(1);
  pictures = [
    original,
    await sharp(original).flop().png().toBuffer(),
    await sharp(original).extract({ left: margin, top: margin, width: edge, height: edge }).png().toBuffer(),
    await sharp(original).linear(1.15, 0).png().toBuffer(),
    await sharp(original).jpeg({ quality: 60 }).toBuffer(),
    await scene(2),
    await sharp(original)
      .recomb([
        [0, 1, 0],
        [0, 0, 1],
        [1, 0, 0],
      ])
      .png()
      .toBuffer(),
  ];
});

const itemOf = (row: number): Item => ({
  id: names[row],
  label: 0,
  encoding: { kind: "raster" },
  open: async () => pictures[row],
});
const context = () => {
  const notes: string[] = [];
  return {
    notes,
    signal: new AbortController().signal,
    progress() {},
    note: (text: string) => notes.push(text),
  };
};
/** Features of rows that all have this cosine with each other. */
function features(rows: number, cosine: number) {
  const d = rows + 1;
  const values = Float32Array.from({ length: rows * d }, (_, k) =>
    k % d === 0 ? Math.sqrt(cosine) : (k % d) - 1 === Math.floor(k / d) ? Math.sqrt(1 - cosine) : 0,
  );
  return featuresInMemory(values, new Int32Array(rows));
}
const map = featureMap({ normalization: "l2" });

it("copies are found by their pictures, another picture of the class and another color are not", async () => {
  const images = { sources: [features(names.length, 0.7)], map, itemOf };
  const own = context();
  const found = await findDuplicates(images, jsGemm, own);
  const copies = found.filter(({ first }) => first === 0);
  expect(Object.fromEntries(copies.map(({ second, alignment }) => [names[second], alignment]))).toEqual({
    ...{ mirrored: "mirrored", cropped: "cropped", brighter: "as they are", JPEG: "as they are" },
  });
  for (const { by, similarity } of copies)
    expect([by, similarity]).toEqual(["picture", expect.closeTo(0.7, 6)]);
  expect(found.filter(({ second }) => second >= 5)).toEqual([]);
  expect(own.notes).toEqual([]);
  const correlations = found.map(({ correlation }) => correlation!);
  expect(correlations).toEqual([...correlations].sort((a, b) => b - a));
});

it("features alone decide from the similarity on, and below that of candidates nothing is compared", async () => {
  const unread = (): Item => {
    throw new Error("no picture is to be read");
  };
  const alike = await findDuplicates(
    { sources: [features(3, 0.96)], map, itemOf: unread },
    jsGemm,
    context(),
  );
  expect(alike.map(({ by, correlation }) => [by, correlation])).toEqual(
    Array(3).fill(["features", undefined]),
  );
  expect(
    await findDuplicates({ sources: [features(400, 0.3)], map, itemOf: unread }, jsGemm, context()),
  ).toEqual([]);
});

it("of few images all pictures are compared, however unlike their features are", async () => {
  const images = { sources: [features(names.length, 0)], map, itemOf };
  const found = await findDuplicates(images, jsGemm, context());
  expect(found.filter(({ first }) => first === 0).map(({ second }) => names[second])).toEqual(
    expect.arrayContaining(["mirrored", "cropped", "brighter", "JPEG"]),
  );
});

it("pictures are compared up to a number of images, the most similar pairs first, and the rest is said", async () => {
  const pairs = [
    { first: 0, second: 4, similarity: 0.9 },
    { first: 1, second: 3, similarity: 0.8 },
    { first: 2, second: 5, similarity: 0.7 },
    { first: 0, second: 3, similarity: 0.6 },
  ];
  const own = context();
  const compared = await comparePairs(pairs, itemOf, own, 4);
  expect(compared.map(({ agreement }) => agreement !== undefined)).toEqual([true, true, false, true]);
  expect(own.notes).toEqual([expect.stringMatching(/pictures of 1 pair .* at most 4 images/)]);
});

it("a picture that cannot be read is passed over and counted, and a stop is heeded", async () => {
  const broken = (row: number): Item => ({
    ...itemOf(row),
    open: async () => (row === 1 ? new Uint8Array(9) : pictures[row]),
  });
  const pairs = [
    { first: 0, second: 1, similarity: 0.9 },
    { first: 0, second: 4, similarity: 0.8 },
  ];
  const own = context();
  const compared = await comparePairs(pairs, broken, own);
  expect(compared.map(({ agreement }) => agreement !== undefined)).toEqual([false, true]);
  expect(own.notes).toEqual([expect.stringContaining("1 image could not be read again")]);
  const stopped = { ...context(), signal: AbortSignal.abort() };
  await expect(comparePairs(pairs, itemOf, stopped)).rejects.toThrow(InterruptedError);
});
