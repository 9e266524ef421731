import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { JobContext } from "../../src/context.ts";
import { openRunContext } from "../../src/features/run-context.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { makePhotos } from "../support/photos.ts";
import { smallGraph } from "../support/small-encoder.ts";

/** What is open, by name. */
const open = vi.hoisted(() => new Set<string>());
vi.mock("../../src/features/extract.ts", async (original) => {
  const module = await original<typeof import("../../src/features/extract.ts")>();
  const extractFeatures: typeof module.extractFeatures = async (source, split, ...more) => {
    const cache = await module.extractFeatures(source, split, ...more);
    open.add(split);
    const close = () => {
      cache.close();
      open.delete(split);
    };
    return { ...cache, close };
  };
  return { ...module, extractFeatures };
});
vi.mock("../../src/encoder/open-encoder.ts", async (original) => {
  const module = await original<typeof import("../../src/encoder/open-encoder.ts")>();
  const openEncoder: typeof module.openEncoder = async (...given) => {
    const { runtime, encoder } = await module.openEncoder(...given);
    open.add("encoder");
    const release = async () => {
      await encoder.release();
      open.delete("encoder");
    };
    return { runtime, encoder: { ...encoder, release } };
  };
  return { ...module, openEncoder };
});

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-prepare-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

it("a run context that cannot be opened leaves neither caches nor the encoder open", async () => {
  const encoder = join(home, "model.onnx");
  await writeFile(encoder, writeOnnx(smallGraph()).model);
  const data = await makePhotos(join(home, "photos"));
  const params = { data, encoder, cacheFolder: join(home, "cache"), maxBad: 0 };
  const aborted = new AbortController();
  const context: JobContext = {
    signal: aborted.signal,
    progress: ({ stage }) => {
      if (stage === "Features of test") aborted.abort();
    },
    note: () => undefined,
  };
  await expect(openRunContext(params, context, { leastPerClass: 1000 })).rejects.toThrow(
    /fewer than 1000 readable/,
  );
  expect([...open]).toEqual([]);
  await expect(openRunContext(params, context)).rejects.toThrow(/Stopped after 0/);
  expect([...open]).toEqual([]);
  const place = await openRunContext(params, { ...context, signal: new AbortController().signal });
  expect([...open].sort()).toEqual(["encoder", "test", "train"]);
  await place.release();
  expect([...open]).toEqual([]);
});
