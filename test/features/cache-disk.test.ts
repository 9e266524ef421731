import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DataError } from "../../src/errors.ts";
import { type FeatureCacheSpec, featureCachePath } from "../../src/features/cache-format.ts";
import { mergeFeatureCaches } from "../../src/features/cache-merge.ts";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import { disk } from "../support/failing-disk.ts";

vi.mock("node:fs/promises", async (original) =>
  (await import("../support/failing-disk.ts")).failing(await original<typeof import("node:fs/promises")>()),
);

let root: string;
beforeEach(async () => {
  disk.reset();
  root = await mkdtemp(join(tmpdir(), "clp-cache-disk-"));
});
afterEach(emptied);

async function emptied(): Promise<void> {
  disk.reset();
  await rm(root, { recursive: true, force: true });
}

const spec: FeatureCacheSpec = {
  identity: {
    encoder: { id: "lite0", sha256: "a".repeat(64) },
    feature: "pooled",
    preprocessing: Preprocessing.parse({
      resize: 256,
      crop: [224, 224],
      interpolation: "bicubic",
      mean: [0, 0, 0],
      std: [1, 1, 1],
    }),
    fast: false,
    data: { name: "pets", fingerprint: "b".repeat(64) },
    split: "train",
  },
  storage: "float32",
  featureSize: 2,
  classes: ["cat"],
  groups: null,
  images: 6,
};
/** The images from `first` up to the next of odd index, which cannot be read. */
function batchOf(first: number) {
  const indices = first % 2 === 0 ? Int32Array.of(first) : new Int32Array(0);
  const index = first + indices.length;
  return {
    features: Float32Array.from(indices.length === 0 ? [] : [first, -first]),
    indices,
    labels: new Int32Array(indices.length),
    bad: [{ id: `${index}.png`, index, reason: "broken" }],
  };
}

async function extract(of: FeatureCacheSpec = spec): Promise<void> {
  const writer = await FeatureCacheWriter.open(root, of);
  try {
    while (writer.nextIndex < writer.end) await writer.append(batchOf(writer.nextIndex));
    await writer.finish();
  } catch (error) {
    await writer.close();
    throw error;
  }
}

test("a kill while an extraction is taken up again costs no image that was done", async () => {
  const opened = async () => {
    const writer = await FeatureCacheWriter.open(root, spec);
    const { nextIndex } = writer;
    await writer.close();
    return nextIndex;
  };
  const begin = await FeatureCacheWriter.open(root, spec);
  for (const first of [0, 2]) await begin.append(batchOf(first));
  await begin.append({ ...batchOf(4), bad: [] });
  await begin.close();
  disk.reset();
  expect(await opened()).toBe(5);
  const { operations } = disk;
  for (let k = 1; k <= operations; k++) {
    disk.reset(k);
    await opened().catch(() => undefined);
    disk.reset();
    expect(await opened()).toBe(5);
  }
});

/** Runs `work` with every one of its operations failing once, after `prepare` in an empty folder. */
async function withFullDisk(
  prepare: () => Promise<unknown>,
  work: () => Promise<unknown>,
  check: (error: unknown) => Promise<void> | void,
): Promise<void> {
  await prepare();
  disk.reset();
  await work();
  const { operations } = disk;
  expect(operations).toBeGreaterThan(5);
  for (let k = 1; k <= operations; k++) {
    await emptied();
    await prepare();
    disk.reset(k, { dies: false, code: "ENOSPC" });
    const error: unknown = await work().catch((thrown: unknown) => thrown);
    disk.reset();
    expect(disk.handles).toBe(0);
    // A missing hard link is made up for.
    if (error !== undefined) await check(error);
  }
}

const isNamed = (error: unknown) => {
  expect(error).toBeInstanceOf(DataError);
  expect(String(error)).toMatch(/disk is full, writing .*features-/);
};

test("a full disk is named wherever an extraction meets it, and the same process goes on once there is room", async () => {
  await withFullDisk(
    async () => undefined,
    () => extract(),
    async (error) => {
      isNamed(error);
      await extract();
      (await openFeatureCache(featureCachePath(root, spec), { expected: spec })).close();
    },
  );
});

test("a full disk is named wherever a merge meets it", async () => {
  await withFullDisk(
    async () => {
      for (const index of [0, 1, 2]) await extract({ ...spec, part: { index, count: 3 } });
    },
    () => mergeFeatureCaches(root, spec, 3).then(() => undefined),
    isNamed,
  );
});
