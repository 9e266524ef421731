import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openImageFolder } from "../../src/data/image-folder.ts";
import type { ImageSource } from "../../src/data/image-source.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { type EncodedBatch, encodedBatches } from "../../src/features/encoded-batches.ts";
import { helperProcesses } from "../../src/helpers/process.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { makePhotos } from "../support/photos.ts";
import { smallEncoder, smallFeatures, smallGraph } from "../support/small-encoder.ts";

const each = 70;
let home: string;
let source: ImageSource;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-encoded-"));
  const photos = await makePhotos(join(home, "photos"), each, 12);
  await writeFile(join(photos, "green", "5.png"), "no picture");
  source = await openImageFolder(photos);
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** All batches of the training images with so many threads; `onBatch` may interfere. */
async function encoded(threads: number, onBatch?: (batch: number) => void): Promise<EncodedBatch[]> {
  const encoder = await createEncoder(nodeRuntime({ threads }), smallEncoder(smallGraph()));
  const count = source.images("train").length;
  const indices = Int32Array.from({ length: count }, (_, i) => i);
  const batches: EncodedBatch[] = [];
  const options = { indices, batchSize: 32, maxBad: 1, skipped: [] };
  for await (const batch of encodedBatches(source, "train", encoder, options)) {
    batches.push(batch);
    onBatch?.(batches.length);
  }
  await encoder.release();
  return batches;
}

describe("features that processes compute", { timeout: 120_000 }, () => {
  it("have the same bits for any number of them, in the order of the images", async () => {
    const alone = await encoded(1);
    const indices = alone.flatMap(({ indices, bad }) => [...indices, ...bad.map(({ index }) => index)]);
    expect(indices.toSorted((a, b) => a - b)).toEqual(indices.map((_, i) => i));
    expect(alone.flatMap(({ bad }) => bad.map(({ id }) => id))).toEqual([expect.stringContaining("5.png")]);
    for (const { features, labels } of alone) expect(features.length).toBe(labels.length * smallFeatures);
    for (const threads of [2, 3]) expect(await encoded(threads)).toEqual(alone);
    expect(helperProcesses()).toEqual([]);
  });

  it("are the same where a process is killed on the way", async () => {
    let killed = 0;
    const disturbed = await encoded(2, (batch) => {
      if (batch !== 2) return;
      process.kill(helperProcesses()[0], "SIGKILL");
      killed++;
    });
    expect(killed).toBe(1);
    expect(disturbed).toEqual(await encoded(1));
  });
});
