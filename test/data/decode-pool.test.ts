import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BatchOptions, type ImageBatch, imageBatches } from "../../src/data/decode-pool.ts";
import { openEmoji } from "../../src/data/emoji.ts";
import { openImageFolder } from "../../src/data/image-folder.ts";
import type { ImageSource } from "../../src/data/image-source.ts";
import { DataError } from "../../src/errors.ts";
import { decodeImage, decodeOptionsFor } from "../../src/images/decode.ts";
import { inputBytes, Preprocessing, preprocess } from "../../src/images/preprocess.ts";
import type { Item } from "../../src/images/types.ts";

const preprocessing = Preprocessing.parse({
  resize: 40,
  crop: [32, 36],
  interpolation: "bilinear",
  mean: [0, 0, 0],
  std: [1, 1, 1],
});
const size = inputBytes(preprocessing);
let root: string;
let folder: ImageSource;
const names = Array.from({ length: 11 }, (_, i) => `${"ab"[i % 2]}/${i}.${["png", "jpg", "webp"][i % 3]}`);

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "clp-pool-"));
  for (const [i, name] of names.entries()) {
    await mkdir(join(root, name, ".."), { recursive: true });
    const background = { r: 20 * i, g: 255 - 20 * i, b: 128 };
    await sharp({ create: { width: 50 + i, height: 60 - i, channels: 3, background } }).toFile(
      join(root, name),
    );
  }
  await writeFile(join(root, "a/0.png"), "no image");
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  const whole = await sharp({ create: { width: 50, height: 50, channels: 3, background: "", noise } })
    .jpeg()
    .toBuffer();
  await writeFile(join(root, "b/7.jpg"), whole.subarray(0, whole.length / 2));
  folder = await openImageFolder(root, { holdout: 0 });
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Copy extends Omit<ImageBatch, "pixels"> {
  readonly pixels: Uint8Array;
}
async function all(source: ImageSource, options: BatchOptions): Promise<Copy[]> {
  const copies: Copy[] = [];
  for await (const batch of imageBatches(source, "train", preprocessing, options)) {
    copies.push({ ...batch, pixels: batch.pixels.slice() });
  }
  return copies;
}
async function reference(item: Item): Promise<Uint8Array> {
  const options = decodeOptionsFor(preprocessing);
  return preprocess(await decodeImage(item.id, await item.open(), item.encoding, options), preprocessing);
}

describe("decoding on a thread of its own", () => {
  it.each([1, 2])(
    "yields every readable image in order, as decoding it directly does (%i ahead)",
    async (ahead) => {
      const batches = await all(folder, { batchSize: 3, maxBad: 2, ahead });
      const list = folder.images("train");
      expect(batches.map((batch) => batch.indices.length + batch.bad.length)).toEqual([3, 3, 3, 2]);
      const indices = batches.flatMap((batch) => [...batch.indices]);
      expect(indices).toEqual([...indices].sort((a, b) => a - b));
      expect(indices).toHaveLength(9);
      for (const { pixels, labels, indices } of batches) {
        expect(pixels).toHaveLength(indices.length * size);
        for (const [place, index] of indices.entries()) {
          expect(labels[place]).toBe(list.labels[index]);
          expect(pixels.slice(place * size, (place + 1) * size)).toEqual(await reference(list.at(index)));
        }
      }
      const bad = batches.flatMap((batch) => batch.bad);
      expect(bad.map(({ id }) => id)).toEqual(["a/0.png", "b/7.jpg"]);
      expect(bad.map(({ index }) => list.at(index).id)).toEqual(["a/0.png", "b/7.jpg"]);
      expect(bad[1].reason).toMatch(/b\/7\.jpg cannot be decoded/);
    },
  );

  it("gives up with the first few names when more images are unreadable than allowed", async () => {
    const reading = all(folder, { batchSize: 3, maxBad: 1 });
    await expect(reading).rejects.toBeInstanceOf(DataError);
    await expect(reading).rejects.toThrow(
      /2 of the images cannot be used and 1 are allowed.*a\/0\.png.*b\/7\.jpg/s,
    );
    await expect(all(folder, {})).rejects.toThrow(/none is allowed/);
  });

  it("counts the images that were skipped before", async () => {
    const before = { id: "a/earlier.png", index: 0, reason: "a/earlier.png is broken" };
    await expect(all(folder, { maxBad: 2, skipped: [before] })).rejects.toThrow(
      /3 of the images cannot be used and 2 are allowed.*a\/earlier\.png.*a\/0\.png.*b\/7\.jpg/s,
    );
    const batches = await all(folder, { maxBad: 3, skipped: [before] });
    expect(batches.flatMap(({ bad }) => bad)).toHaveLength(2);
  });

  it("takes chosen images in the order given, from a source that is no file too", async () => {
    const emoji = await openEmoji();
    const indices = Int32Array.of(4000, 3, 2500, 3);
    const batches = await all(emoji, { batchSize: 3, indices });
    expect(batches.flatMap((batch) => [...batch.indices])).toEqual([...indices]);
    const pixels = batches[1].pixels;
    expect(pixels).toEqual(await reference(emoji.images("train").at(3)));
    expect(new Set(pixels).size).toBeGreaterThan(10);
  });

  it("names an image that its source cannot open", async () => {
    const list = folder.images("train");
    const withoutFiles: ImageSource = {
      ...folder,
      name: "broken",
      classes: folder.classes,
      images: () => ({
        length: 2,
        labels: list.labels.slice(0, 2),
        at: (index) => ({
          id: `image ${index}`,
          label: 0,
          encoding: { kind: "pixels", width: 40, height: 40, channels: 1, layout: "hwc" },
          open: async () => {
            if (index === 0) throw new DataError("image 0 is in a shard that is gone");
            return new Uint8Array(1600).fill(9);
          },
        }),
      }),
    };
    const [batch] = await all(withoutFiles, { maxBad: 1 });
    expect(batch!.bad).toEqual([{ id: "image 0", index: 0, reason: "image 0 is in a shard that is gone" }]);
    expect(batch!.pixels).toEqual(new Uint8Array(size).fill(9));
  });

  it("reads a range of a file", async () => {
    const path = join(root, ".shard.bin");
    await writeFile(
      path,
      Uint8Array.from({ length: 5000 }, (_, i) => (i < 1600 ? 1 : i < 3200 ? 2 : 3)),
    );
    const shard: ImageSource = {
      ...folder,
      images: () => ({
        length: 4,
        labels: new Int32Array(4),
        at: (index) => ({
          id: `record ${index}`,
          label: 0,
          encoding: { kind: "pixels", width: 40, height: 40, channels: 1, layout: "hwc" },
          file: { path, start: index * 1600, length: 1600 },
          open: () => Promise.reject(new Error("not to be called")),
        }),
      }),
    };
    const [batch] = await all(shard, { maxBad: 1 });
    expect([0, 1, 2].map((i) => batch!.pixels[i * size])).toEqual([1, 2, 3]);
    expect(batch!.bad.map(({ reason }) => reason).join()).toMatch(/ends within record 3/);
  });

  it("stops with the signal's reason when aborted, in the middle or before", async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const run = async () => {
      const options = { batchSize: 2, maxBad: 2, signal: controller.signal };
      for await (const batch of imageBatches(folder, "train", preprocessing, options)) {
        seen.push(batch.labels.length);
        controller.abort(new Error("enough"));
      }
    };
    await expect(run()).rejects.toThrow("enough");
    expect(seen.length).toBeLessThan(4);
    await expect(all(folder, { signal: controller.signal })).rejects.toThrow("enough");
  });

  it("ends its threads when the caller stops early", async () => {
    for await (const batch of imageBatches(folder, "train", preprocessing, { batchSize: 1, maxBad: 2 })) {
      expect(batch.labels.length + batch.bad.length).toBe(1);
      break;
    }
    // The loop's exit awaited the threads' ends; a leaked one would keep this process from ending.
  });

  it("refuses sizes that make no sense", async () => {
    await expect(all(folder, { batchSize: 0 })).rejects.toThrow(/batchSize must be 1 or more/);
    await expect(all(folder, { ahead: 0.5 })).rejects.toThrow(/ahead must be 1 or more/);
  });
});
