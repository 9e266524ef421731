import { spawn } from "node:child_process";
import { hash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataError, NumericalError } from "../../src/errors.ts";
import {
  type FeatureCacheSpec,
  featureCachePath,
  partRange,
  sealHeader,
} from "../../src/features/cache-format.ts";
import { mergeFeatureCaches } from "../../src/features/cache-merge.ts";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { cacheLocation } from "../../src/files/cache-location.ts";
import { onDisk } from "../../src/files/disk.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import { sequentialBatches } from "../../src/probe/rows.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "clp-cache-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const images = 23;
const featureSize = 5;
/** Image 7 and 8 and the last cannot be read. */
const unreadable = new Set([7, 8, 22]);
const readable = Array.from({ length: images }, (_, i) => i).filter((i) => !unreadable.has(i));

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
  featureSize,
  classes: ["cat", "dog", "fox"],
  groups: ["land", "water"],
  images,
};

/** Features that half precision holds exactly. */
const featureOf = (image: number, j: number) => image / 8 - j * 3;
const rowOf = (image: number) => Array.from({ length: featureSize }, (_, j) => featureOf(image, j));
const labelOf = (image: number) => image % 3;
const groupOf = (image: number) => image % 2;

/** What an extraction would append for the images from `start` up to `end`. */
function batchOf(start: number, end: number) {
  const all = Array.from({ length: end - start }, (_, i) => start + i);
  const indices = Int32Array.from(all.filter((i) => !unreadable.has(i)));
  return {
    features: Float32Array.from([...indices].flatMap(rowOf)),
    indices,
    labels: indices.map(labelOf),
    groups: indices.map(groupOf),
    bad: all
      .filter((i) => unreadable.has(i))
      .map((index) => ({ id: `${index}.png`, index, reason: `${index}.png is broken` })),
  };
}

/** Extracts up to `until` in batches of 4; leaves the cache unfinished unless all is done. */
async function extract(of: FeatureCacheSpec = spec, until = Number.POSITIVE_INFINITY): Promise<string> {
  const writer = await FeatureCacheWriter.open(root, of);
  while (writer.nextIndex < Math.min(until, writer.end)) {
    const { nextIndex } = writer;
    await writer.append(batchOf(nextIndex, Math.min(nextIndex + 4, until, writer.end)));
  }
  if (writer.nextIndex === writer.end) return writer.finish();
  await writer.close();
  return writer.path;
}

async function expectWhole(path: string, of: FeatureCacheSpec = spec): Promise<void> {
  const cache = await openFeatureCache(path, { expected: of });
  expect([...cache.indices]).toEqual(readable);
  expect([...cache.labels]).toEqual(readable.map(labelOf));
  expect([...cache.groups!]).toEqual(readable.map(groupOf));
  expect(cache.header.complete!.bad.map(({ id }) => id)).toEqual(["7.png", "8.png", "22.png"]);
  const out = new Float32Array(readable.length * featureSize);
  await cache.rows(
    Int32Array.from(readable, (_, row) => row),
    out,
  );
  expect([...out]).toEqual(readable.flatMap(rowOf));
  cache.close();
}

describe("a feature cache", () => {
  it.each(["float32", "float16"] as const)("gives back what was written, as %s", async (storage) => {
    const stored = { ...spec, storage };
    await expectWhole(await extract(stored), stored);
  });

  it("reads any rows in any order, from disk and from memory alike", async () => {
    for (const storage of ["float32", "float16"] as const) {
      const path = await extract({ ...spec, storage });
      const onDiskCache = await openFeatureCache(path);
      const inMemory = await openFeatureCache(path, { memoryBytes: 1e6 });
      expect([onDiskCache.inMemory, inMemory.inMemory]).toEqual([false, true]);
      const row = fc.nat({ max: readable.length - 1 });
      await fc.assert(
        fc.asyncProperty(fc.array(row, { maxLength: 30 }), async (rows) => {
          for (const cache of [onDiskCache, inMemory]) {
            const out = new Float32Array(rows.length * featureSize);
            await cache.rows(Int32Array.from(rows), out);
            expect([...out]).toEqual(rows.flatMap((r) => rowOf(readable[r])));
          }
        }),
      );
      onDiskCache.close();
    }
  });

  it("gives the same rows when they were read ahead, and errors where they cannot be read", async () => {
    const path = await extract({ ...spec, storage: "float16" });
    const cache = await openFeatureCache(path);
    const read = async (...rows: number[]) => {
      const out = new Float32Array(rows.length * featureSize);
      await cache.rows(Int32Array.from(rows), out);
      return [...out];
    };
    const expected = [19, 0, 7, 7].flatMap((row) => rowOf(readable[row]));
    cache.readAhead!(Int32Array.of(19, 0, 7, 7));
    expect(await read(19, 0, 7, 7)).toEqual(expected);
    // Twice over, for a second feature map; other rows than those that were announced; one that is not there.
    expect(await read(19, 0, 7, 7)).toEqual(expected);
    expect(await read(1)).toEqual(rowOf(readable[1]));
    cache.readAhead!(Int32Array.of(20));
    await expect(read(20)).rejects.toThrow(RangeError);
    await truncate(join(path, "features.bin"), 10);
    cache.readAhead!(Int32Array.of(5));
    await expect(read(5)).rejects.toThrow(/cannot be read/);
    cache.readAhead!(Int32Array.of(0));
    cache.close();
    await expect(read(0)).rejects.toThrow(/was closed/);
  });

  it("keeps nothing of what was read ahead before", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const cache = await openFeatureCache(await extract());
    const wanted = Int32Array.from({ length: 512 }, (_, i) => i % readable.length);
    const out = new Float32Array(wanted.length * featureSize);
    const used = async (steps: number) => {
      for (let step = 0; step < steps; step++) {
        cache.readAhead!(wanted);
        await cache.rows(wanted, out);
      }
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = await used(20);
    // 512 booleans of each step are 4 KB: 0.8 MB.
    expect((await used(200)) - before).toBeLessThan(300_000);
    cache.close();
  });

  it("streams in order", async () => {
    const cache = await openFeatureCache(await extract());
    const seen: number[] = [];
    for await (const batch of sequentialBatches(cache, { batchSize: 6 })) seen.push(...batch.features);
    expect(seen).toEqual(readable.flatMap(rowOf));
    cache.close();
  });

  it("refuses rows that it does not have", async () => {
    const cache = await openFeatureCache(await extract());
    const out = new Float32Array(featureSize);
    await expect(cache.rows(Int32Array.of(readable.length), out)).rejects.toThrow(/no row 20: there are 20/);
    await expect(cache.rows(Int32Array.of(-1), out)).rejects.toThrow(/no row -1/);
    await expect(cache.rows(Int32Array.of(0, 1), out)).rejects.toThrow(/need 10 numbers, got 5/);
    cache.close();
    await expect(cache.rows(Int32Array.of(0), out)).rejects.toThrow(/was closed/);
  });

  it("lies in its own folder for everything that features depend on", () => {
    const { identity } = spec;
    const others: FeatureCacheSpec[] = [
      { ...spec, identity: { ...identity, encoder: { id: "lite0", sha256: "c".repeat(64) } } },
      { ...spec, identity: { ...identity, feature: "other" } },
      { ...spec, identity: { ...identity, fast: true } },
      { ...spec, identity: { ...identity, split: "test" } },
      { ...spec, identity: { ...identity, data: { name: "pets", fingerprint: "d".repeat(64) } } },
      { ...spec, identity: { ...identity, preprocessing: { ...identity.preprocessing, resize: 224 } } },
      { ...spec, storage: "float16" },
      { ...spec, part: { index: 0, count: 2 } },
    ];
    const paths = [spec, ...others].map((each) => featureCachePath(root, each));
    expect(new Set(paths).size).toBe(paths.length);
    const renamed = { ...identity, encoder: { ...identity.encoder, id: "another name" } };
    expect(featureCachePath(root, { ...spec, identity: renamed })).toBe(paths[0]);
  });
});

describe("an interrupted extraction", () => {
  it("resumes wherever its files were cut, and ends with the same cache", async () => {
    const names = ["features.bin", "rows.bin", "bad.jsonl", "hashes.jsonl"];
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: images - 1 }),
        fc.constantFrom(...names),
        fc.nat({ max: 60 }),
        fc.boolean(),
        async (until, name, cut, zeros) => {
          await rm(root, { recursive: true });
          await mkdir(root);
          const partial = `${await extract(spec, until)}.partial`;
          const file = join(partial, name);
          const bytes = await readFile(file);
          await truncate(file, Math.max(0, bytes.length - cut));
          // What some file systems leave after a power cut: the length, but not the contents.
          if (zeros && name !== "features.bin") await truncate(file, bytes.length);
          const writer = await FeatureCacheWriter.open(root, spec);
          expect(writer.nextIndex).toBeLessThanOrEqual(until);
          await writer.close();
          await expectWhole(await extract());
        },
      ),
      { numRuns: 60 },
    );
  });

  it("does not extract again what was written before", async () => {
    await extract(spec, 16);
    const writer = await FeatureCacheWriter.open(root, spec);
    expect(writer.nextIndex).toBe(16);
    expect(writer.bad.map(({ id }) => id)).toEqual(["7.png", "8.png"]);
    await writer.close();
  });

  it("keeps the features before damage, and says from which image on it extracts again", async () => {
    for (const until of [4, 9, 16]) await extract(spec, until);
    const partial = `${featureCachePath(root, spec)}.partial`;
    const file = join(partial, "features.bin");
    const bytes = await readFile(file);
    // Image 9 is row 7, the first after the second stop.
    const damage = Buffer.from(bytes);
    damage[7 * 4 * featureSize] ^= 0x40;
    await writeFile(file, damage);
    const writer = await FeatureCacheWriter.open(root, spec);
    expect(writer.nextIndex).toBe(7);
    expect(writer.note).toMatch(/do not match their hashes from image 7 on/);
    await writer.close();
    await expectWhole(await extract());
  });

  it("keeps no features whose hashes are gone, and says so", async () => {
    await extract(spec, 16);
    await rm(join(`${featureCachePath(root, spec)}.partial`, "hashes.jsonl"));
    const writer = await FeatureCacheWriter.open(root, spec);
    expect(writer.nextIndex).toBe(0);
    expect(writer.note).toMatch(/have no hashes from image 0 on/);
    await writer.close();
    await expectWhole(await extract());
  });

  it("says nothing of damage where it was only cut short", async () => {
    await extract(spec, 9);
    await extract(spec, 16);
    await truncate(join(`${featureCachePath(root, spec)}.partial`, "rows.bin"), 10 * 16);
    const writer = await FeatureCacheWriter.open(root, spec);
    expect([writer.nextIndex, writer.note]).toEqual([7, undefined]);
    await writer.close();
  });

  it("cannot be opened or finished as if it were complete", async () => {
    const path = await extract(spec, 16);
    await expect(openFeatureCache(path)).rejects.toThrow(/is not a feature cache/);
    await expect(openFeatureCache(`${path}.partial`)).rejects.toThrow(
      /not complete\. Run the extraction again/,
    );
    const writer = await FeatureCacheWriter.open(root, spec);
    await expect(writer.finish()).rejects.toThrow(/ends before image 16 of 23/);
    await writer.close();
  });

  it("resumes when it was killed between sealing and renaming", async () => {
    const path = await extract();
    await rename(path, `${path}.partial`);
    await expectWhole(await extract());
  });

  it("leaves no partial folder and no lock behind when complete", async () => {
    const path = await extract();
    expect(await readdir(root)).toEqual([path.slice(root.length + 1)]);
    expect((await readdir(path)).sort()).toEqual(["features.bin", "header.json", "rows.bin"]);
  });
});

describe("writing a feature cache", () => {
  it("refuses images out of order, twice, left out or beyond the range", async () => {
    const writer = await FeatureCacheWriter.open(root, spec);
    await writer.append(batchOf(0, 4));
    for (const [start, end] of [
      [3, 5],
      [5, 7],
      [4, 24],
    ] as const) {
      await expect(writer.append(batchOf(start, end))).rejects.toThrow(/expected images 4 to .* in order/);
    }
    const swapped = { ...batchOf(4, 6), indices: Int32Array.of(5, 4) };
    await expect(writer.append(swapped)).rejects.toThrow(RangeError);
    await writer.close();
  });

  it("names the image whose feature does not fit", async () => {
    const writer = await FeatureCacheWriter.open(root, { ...spec, storage: "float16" });
    const batch = batchOf(0, 4);
    batch.features[2 * featureSize + 1] = 70000;
    await expect(writer.append(batch)).rejects.toBeInstanceOf(NumericalError);
    await expect(writer.append(batch)).rejects.toThrow(/70000 of image 2 of pets is too large for half/);
    await writer.close();
    await expectWhole(await extract({ ...spec, storage: "float16" }), { ...spec, storage: "float16" });
  });

  it("is refused while another process writes the same cache, and allowed once that has died", async () => {
    const partial = `${featureCachePath(root, spec)}.partial`;
    await mkdir(partial, { recursive: true });
    const lock = join(partial, "lock.json");
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    await writeFile(lock, JSON.stringify({ host: hostname(), pid: other.pid, thread: 0 }));
    await expect(extract()).rejects.toThrow(new RegExp(`being written by process ${other.pid}.*lock\\.json`));
    const gone = new Promise((resolve) => other.once("exit", resolve));
    other.kill("SIGKILL");
    await gone;
    await expectWhole(await extract());
  });

  it("is refused twice in one process", async () => {
    const writer = await FeatureCacheWriter.open(root, spec);
    await expect(FeatureCacheWriter.open(root, spec)).rejects.toBeInstanceOf(DataError);
    await writer.close();
    await (await FeatureCacheWriter.open(root, spec)).close();
  });

  it("says that the disk is full", async () => {
    const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    const writing = onDisk("the-folder", () => Promise.reject(full));
    await expect(writing).rejects.toBeInstanceOf(DataError);
    await expect(writing).rejects.toThrow(
      /disk is full, writing the-folder\. Make room, then run the same command/,
    );
  });

  it("says why a folder cannot be written", async () => {
    await writeFile(join(root, "file"), "");
    const opening = FeatureCacheWriter.open(join(root, "file"), spec);
    await expect(opening).rejects.toBeInstanceOf(DataError);
    await expect(opening).rejects.toThrow(/Writing .* failed/);
  });
});

describe("a cache that must not be used", () => {
  const other = (change: object): FeatureCacheSpec => ({
    ...spec,
    identity: { ...spec.identity, ...change },
  });

  it("is refused when another encoder, data set or preprocessing made it, naming both", async () => {
    const path = await extract();
    const encoder = { id: "vit-s", sha256: "c".repeat(64) };
    const opening = openFeatureCache(path, { expected: other({ encoder }) });
    await expect(opening).rejects.toBeInstanceOf(DataError);
    await expect(opening).rejects.toThrow(
      /encoder: lite0 \(sha256 aaaaaaaaaaaa…\), but vit-s \(sha256 cccccccccccc…\) is asked for/,
    );
    const data = { name: "birds", fingerprint: "e".repeat(64) };
    await expect(openFeatureCache(path, { expected: other({ data }) })).rejects.toThrow(
      /data set: pets .*birds/,
    );
    const preprocessing = { ...spec.identity.preprocessing, crop: [96, 96] };
    await expect(openFeatureCache(path, { expected: other({ preprocessing }) })).rejects.toThrow(/96,96/);
    const moved = { ...spec.identity.encoder, id: "./models/lite0.onnx" };
    (await openFeatureCache(path, { expected: other({ encoder: moved }) })).close();
  });

  it.each([
    ["its features are truncated", "features.bin", -1, /features\.bin has 399 bytes, not 400/],
    ["its rows are truncated", "rows.bin", -16, /rows\.bin has 304 bytes, not 320/],
    ["its features are longer", "features.bin", 4, /features\.bin has 404 bytes, not 400/],
  ])("is refused when %s", async (_, name, change, message) => {
    const file = join(await extract(), name);
    await truncate(file, (await readFile(file)).length + change);
    const opening = openFeatureCache(join(file, ".."));
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(/damaged.*Delete the folder and extract the features again/);
  });

  it("is refused when its header was changed, cut or lost", async () => {
    const path = await extract();
    const file = join(path, "header.json");
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace('"lite0"', '"lite1"'));
    await expect(openFeatureCache(path)).rejects.toThrow(
      /header\.json cannot be used \(its hash does not match\)/,
    );
    await writeFile(file, text.slice(0, 100));
    await expect(openFeatureCache(path)).rejects.toThrow(/damaged: header\.json/);
    await rm(file);
    await expect(openFeatureCache(path)).rejects.toThrow(/is not a feature cache/);
  });

  it.each(["features.bin", "rows.bin"])("is refused when a bit of %s has changed", async (name) => {
    const path = await extract();
    const file = join(path, name);
    const bytes = await readFile(file);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 8 * bytes.length - 1 }), async (bit) => {
        const changed = Buffer.from(bytes);
        changed[bit >> 3] ^= 1 << (bit & 7);
        await writeFile(file, changed);
        await expect(openFeatureCache(path)).rejects.toThrow(`the contents of ${name} have changed`);
      }),
      { numRuns: 20 },
    );
    await writeFile(file, bytes);
    await expectWhole(path);
  });

  it("is compared with its hashes once, and again when a file has changed since", async () => {
    const path = await extract();
    const checked: number[] = [];
    const open = async () =>
      (await openFeatureCache(path, { onChecked: (done) => checked.push(done) })).close();
    await open();
    const bytes =
      (await readFile(join(path, "features.bin"))).length + (await readFile(join(path, "rows.bin"))).length;
    expect(checked.at(-1)).toBe(bytes);
    checked.length = 0;
    await open();
    expect(checked).toEqual([]);
    const file = join(path, "features.bin");
    await writeFile(file, (await readFile(file)).fill(1, 40, 41));
    await expect(open()).rejects.toThrow(DataError);
  });

  it("is refused for a record that was written wrongly, whatever its hash says", async () => {
    const path = await extract();
    const rows = join(path, "rows.bin");
    const bytes = await readFile(rows);
    bytes.writeInt32LE(1 - bytes.readInt32LE(4), 4);
    await writeFile(rows, bytes);
    const file = join(path, "header.json");
    const { header } = JSON.parse(await readFile(file, "utf8"));
    header.complete.sha256.rows = hash("sha256", bytes);
    await writeFile(file, sealHeader(header));
    await expect(openFeatureCache(path)).rejects.toThrow(/record 0 of rows\.bin was changed/);
  });
});

describe("a sharded cache", () => {
  const part = (index: number, count: number): FeatureCacheSpec => ({ ...spec, part: { index, count } });

  it("has contiguous parts that cover everything", () => {
    fc.assert(
      fc.property(fc.nat({ max: 1000 }), fc.integer({ min: 1, max: 40 }), (total, count) => {
        const ranges = Array.from({ length: count }, (_, index) => partRange(total, { index, count }));
        expect(ranges[0].start).toBe(0);
        expect(ranges.at(-1)!.end).toBe(total);
        for (let i = 1; i < count; i++) expect(ranges[i].start).toBe(ranges[i - 1].end);
        const sizes = ranges.map(({ start, end }) => end - start);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
    expect(() => partRange(10, { index: 3, count: 3 })).toThrow(/no part 3 of 3/);
  });

  it("is not looked for in more parts than there can be", async () => {
    await expect(mergeFeatureCaches(root, spec, 1e9)).rejects.toThrow(
      /cannot have been extracted in 1,000,000,000 parts/,
    );
  });

  it.each([1, 3, 30])(
    "merges %i parts, extracted in any order, to the cache of a single run",
    async (count) => {
      for (let index = count - 1; index >= 0; index--) await extract(part(index, count));
      const merged = await mergeFeatureCaches(root, spec, count);
      await expectWhole(merged);
      const read = (folder: string) =>
        Promise.all(["header.json", "features.bin", "rows.bin"].map((name) => readFile(join(folder, name))));
      const files = await read(merged);
      await rm(merged, { recursive: true });
      expect(await read(await extract())).toEqual(files);
    },
  );

  it("is not merged while parts are missing or unfinished, and names them", async () => {
    await extract(part(0, 4));
    await extract(part(2, 4), 13);
    const merging = mergeFeatureCaches(root, spec, 4);
    await expect(merging).rejects.toBeInstanceOf(DataError);
    await expect(merging).rejects.toThrow(
      /3 are missing or unfinished: part 1 \(0 of 6 images\), 2 \(2 of 6 images\) and 3/,
    );
  });

  it("is not merged when a part has changed", async () => {
    for (let index = 0; index < 2; index++) await extract(part(index, 2));
    const file = join(featureCachePath(root, part(1, 2)), "features.bin");
    const bytes = await readFile(file);
    bytes[5] ^= 1;
    await writeFile(file, bytes);
    await expect(mergeFeatureCaches(root, spec, 2)).rejects.toThrow(
      /part-1-of-2 is damaged: the contents of features/,
    );
    await truncate(file, bytes.length - 4);
    await expect(mergeFeatureCaches(root, spec, 2)).rejects.toThrow(
      /part-1-of-2 is damaged: features\.bin has/,
    );
  });
});

describe("the cache's location", () => {
  it("is what CLP_DD_CACHE says, else the user's cache folder", () => {
    expect(cacheLocation({ CLP_DD_CACHE: "/big/disk", XDG_CACHE_HOME: "/x" }, "/home/me")).toBe("/big/disk");
    expect(cacheLocation({ XDG_CACHE_HOME: "/x" }, "/home/me")).toBe(join("/x", "clp-dd"));
    expect(cacheLocation({}, "/home/me")).toBe(join("/home/me", ".cache", "clp-dd"));
  });
});
