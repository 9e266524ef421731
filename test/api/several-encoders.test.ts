import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  alignEncoders,
  classify,
  type DistillSummary,
  distill,
  evaluate,
  loadEncoder,
  readArtifact,
  UsageError,
} from "../../src/index.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { makePhotos } from "../support/photos.ts";

const first = "efficientnet-lite0";
const second = "efficientnet-lite0@48";

let data: DataFolder;
let photos: string;
let cacheFolder: string;
let set: string;
let made: DistillSummary;
beforeAll(async () => {
  data = await dataFolder();
  photos = await makePhotos(join(data.path, "photos"), 4, 32);
  cacheFolder = join(data.path, "cache");
  set = join(data.path, "set");
  const images = {
    data: photos,
    out: set,
    encoder: first,
    others: [second],
    size: 32,
    resize: 32,
    cacheFolder,
  };
  made = await distill({ ...images, steps: 4, levelEvery: 2, baselines: false, edits: false });
}, 180_000);
afterAll(() => data.remove());

it("one encoder at two sizes has two probes, and evaluate finds for each what was recorded", async () => {
  const { others = [], imageSize, encoder } = made.manifest;
  expect(imageSize).toBe(32);
  expect(encoder.preprocessing.crop).toEqual([32, 32]);
  expect(others.map((other) => other.encoder.preprocessing.crop)).toEqual([[48, 48]]);
  // In the proportion of the first one's.
  expect(others[0].encoder.preprocessing.resize).toBe(48);
  const results = await evaluate([set], {
    data: photos,
    cacheFolder,
    probes: ["closed-form"],
    augmentation: "off",
    references: false,
    edits: false,
  });
  expect(results.map((result) => result.encoder)).toEqual([`${first}@32`, second]);
  expect(results.map((result) => result.distilledWith)).toEqual(Array(2).fill(`${first}@32 + ${second}`));
  expect(results.map((result) => result.probes[0].top1.mean)).toEqual([
    made.manifest.metrics.closedForm?.top1,
    others[0].metrics.closedForm?.top1,
  ]);
}, 120_000);

it("photos are classified under the first encoder, or under the one that is named", async () => {
  const read = await readArtifact(set);
  const photo = join(photos, "red", "0.png");
  for (const encoder of [undefined, second]) {
    const options = encoder === undefined ? {} : { encoder };
    const [found] = await classify(read, [photo], options);
    await using opened = await loadEncoder(read, options);
    expect(opened.preprocessing.crop[0]).toBe(encoder === undefined ? 32 : 48);
    const scores = (await read.probe(encoder)).scores(await opened.encode([photo]));
    if ("unreadable" in found) throw new Error(found.unreadable);
    expect(found.score).toBeCloseTo(Math.max(...scores.data), 4);
  }
}, 120_000);

it("the same encoder twice is refused", async () => {
  const images = {
    data: photos,
    out: join(data.path, "twice"),
    encoder: first,
    size: 32,
    resize: 32,
    cacheFolder,
  };
  await expect(distill({ ...images, others: [`${first}@32`], steps: 1 })).rejects.toThrow(UsageError);
}, 60_000);

it("the two sizes are aligned on the photos that both encoded", async () => {
  const sizes = { data: photos, cacheFolder, size: 32, resize: 32 };
  const found = await alignEncoders([first, second], { ...sizes, neighbors: 3 });
  expect(found.images).toBe(made.manifest.data.counts.train);
  const [pair] = found.pairs;
  expect(pair.encoders).toEqual([first, second]);
  expect(pair.chance).toBeCloseTo(3 / (found.images - 1), 12);
  // One network at two sizes sees much the same.
  expect(pair.alignment).toBeGreaterThan(pair.chance);
  expect(pair.alignment).toBeLessThanOrEqual(1);
  await expect(alignEncoders([first], sizes)).rejects.toThrow(UsageError);
  await expect(alignEncoders([first, second], { ...sizes, neighbors: 1000 })).rejects.toThrow(
    /1000 neighbors/,
  );
}, 120_000);
