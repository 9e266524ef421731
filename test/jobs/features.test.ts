import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { JobContext } from "../../src/context.ts";
import type { FeatureCache } from "../../src/features/cache-reader.ts";
import { runFeatures } from "../../src/jobs/features.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

/** Every cache that was opened. */
const opened = vi.hoisted((): FeatureCache[] => []);
vi.mock("../../src/features/cache-reader.ts", async (original) => {
  const reader = await original<typeof import("../../src/features/cache-reader.ts")>();
  const openFeatureCache: typeof reader.openFeatureCache = async (...args) => {
    const cache = await reader.openFeatureCache(...args);
    opened.push(cache);
    return cache;
  };
  return { ...reader, openFeatureCache };
});

let home: string;
let photos: string;
let encoder: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-features-job-"));
  photos = await makePhotos(join(home, "photos"));
  encoder = join(home, "model.onnx");
  await writeFile(encoder, writeOnnx(smallGraph()).model);
});
afterAll(() => rm(home, { recursive: true, force: true }));

const notes: string[] = [];
const context: JobContext = {
  signal: new AbortController().signal,
  progress: () => undefined,
  note: (text) => notes.push(text),
};
beforeEach(() => {
  notes.length = 0;
  opened.length = 0;
});

describe("extracting features", () => {
  it("reads none of them into memory to say how many there are", async () => {
    const params = { data: photos, encoder, cacheFolder: join(home, "cache"), maxBad: 0 };
    const results = await runFeatures(params, context);
    expect(await runFeatures(params, context)).toEqual(results);
    expect(opened.map(({ inMemory }) => inMemory)).toEqual([false, false, false, false]);
  });

  it("names the unreadable images and counts them in every run, also where all is there already", async () => {
    const spoilt = await makePhotos(join(home, "spoilt"));
    await writeFile(join(spoilt, "red/broken.jpg"), "no picture at all");
    const params = { data: spoilt, encoder, cacheFolder: join(home, "spoilt-cache"), maxBad: 1 };
    const again = [params, params, { ...params, part: { index: 0, count: 2 } }, { ...params, merge: 2 }];
    for (const each of again) {
      notes.length = 0;
      await runFeatures(each, context);
      expect(notes.join()).toMatch(/Skipped 1 unreadable image of \w+: red\/broken\.jpg/);
      const strict = runFeatures({ ...each, maxBad: 0 }, context);
      await expect(strict).rejects.toThrow(
        /1 of the images cannot be used and none is allowed.*broken\.jpg/s,
      );
    }
  });
});
