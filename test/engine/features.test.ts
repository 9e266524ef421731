import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { FeatureCache } from "../../src/data/feature-cache-reader.ts";
import { runFeatures } from "../../src/engine/features-node.ts";
import type { JobContext } from "../../src/engine/protocol.ts";
import { writeOnnx } from "../../src/graph/write.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

/** Every cache that was opened. */
const opened = vi.hoisted((): FeatureCache[] => []);
vi.mock("../../src/data/feature-cache-reader.ts", async (original) => {
  const reader = await original<typeof import("../../src/data/feature-cache-reader.ts")>();
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

const context: JobContext = {
  signal: new AbortController().signal,
  progress: () => undefined,
  note: () => undefined,
};

describe("extracting features", () => {
  it("reads none of them into memory to say how many there are", async () => {
    const params = { data: photos, encoder, cacheFolder: join(home, "cache"), maxBad: 0 };
    const results = await runFeatures(params, context);
    expect(await runFeatures(params, context)).toEqual(results);
    expect(opened.map(({ inMemory }) => inMemory)).toEqual([false, false, false, false]);
  });
});
