import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { JobContext } from "../../src/context.ts";
import type { ImageSource } from "../../src/data/image-source.ts";
import { requireFinite } from "../../src/encoder/batched-features.ts";
import type { Encoder } from "../../src/encoder/encoder.ts";
import { InterruptedError } from "../../src/errors.ts";
import { extractFeatures } from "../../src/features/extract.ts";
import { keepNothing } from "../../src/files/kept.ts";
import type { Item } from "../../src/images/types.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

let cacheFolder: string;
beforeEach(async () => {
  cacheFolder = await mkdtemp(join(tmpdir(), "clp-dd-extract-"));
});
afterEach(() => rm(cacheFolder, { recursive: true, force: true }));

const count = 70;
/** Three in the first batch of 32, two in the second. */
const unreadable = [3, 5, 20, 40, 50];

const source: ImageSource = {
  name: "pets",
  classes: ["cat"],
  splits: ["train"],
  notes: [],
  images: () => ({ length: count, labels: new Int32Array(count), at: itemAt }),
  fingerprint: async () => "b".repeat(64),
};

function itemAt(index: number): Item {
  return {
    ...{ id: `${index}.png`, label: 0 },
    encoding: { kind: "pixels", width: smallSide, height: smallSide, channels: 1, layout: "hwc" },
    async open() {
      if (unreadable.includes(index)) throw new Error(`${index}.png is broken`);
      return new Uint8Array(smallSide * smallSide);
    },
  };
}

const { provenance, preprocessing } = smallEncoder(smallGraph());
const encoder: Encoder = {
  ...{
    provenance,
    preprocessing,
    featureSize: smallFeatures,
    precision: "float32",
    fixedBatch: undefined,
    bytesPerImage: 1,
    threads: undefined,
    imagesACall: 8,
  },
  feature: { tensor: "features", pool: "none", askedPool: "auto", reason: "" },
  form: {},
  features: async (_, n) => new Float32Array(n * smallFeatures),
  kept: keepNothing,
  requirePullback: () => undefined,
  tracedGraph: () => Promise.reject(new Error("not to be called")),
  forwardGraph: () => Promise.reject(new Error("not to be called")),
  plan: () => Promise.reject(new Error("not to be called")),
  release: async () => undefined,
};

const context: JobContext = {
  signal: new AbortController().signal,
  progress: () => undefined,
  note: () => undefined,
};

describe("an extraction that resumes", () => {
  it("counts the images skipped before it was interrupted, and says the limit that was given", async () => {
    const controller = new AbortController();
    const progress: JobContext["progress"] = ({ done }) => {
      if (done > 0) controller.abort();
    };
    const extract = (maxBad: number, job = context) =>
      extractFeatures(source, "train", encoder, { cacheFolder, maxBad }, job);
    const stopped = extract(5, { ...context, progress, signal: controller.signal });
    await expect(stopped).rejects.toBeInstanceOf(InterruptedError);
    await expect(extract(4)).rejects.toThrow(/5 of the images cannot be used and 4 are allowed.*\b3\.png/s);
    const cache = await extract(5);
    expect(cache.count).toBe(count - unreadable.length);
    cache.close();
  });
});

it("an extraction of which no image can be read is an error, whatever number may be missing", async () => {
  const none = { ...source, images: () => ({ length: 5, labels: new Int32Array(5), at: () => itemAt(3) }) };
  const extracting = extractFeatures(none, "train", encoder, { cacheFolder, maxBad: 10 }, context);
  await expect(extracting).rejects.toThrow(/None of the 5 images of train of pets could be read/);
});

it("an image whose feature is not finite is named as the data set names it", async () => {
  let batches = 0;
  const spoilt: Encoder = {
    ...encoder,
    async features(pixels, n, nameOf) {
      const features = await encoder.features(pixels, n);
      // The second batch: 32 to 39 are its rows 0 to 7, 40 cannot be read, 42 is row 9.
      if (batches++ === 1) features[9 * smallFeatures] = Number.NaN;
      requireFinite(features, smallFeatures, "small", nameOf);
      return features;
    },
  };
  const extracting = extractFeatures(source, "train", spoilt, { cacheFolder, maxBad: 5 }, context);
  await expect(extracting).rejects.toThrow(/not finite \(NaN\) for 42\.png\./);
});
