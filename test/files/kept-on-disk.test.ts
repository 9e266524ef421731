import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keptFor } from "../../src/files/kept.ts";
import { keptIn } from "../../src/files/kept-on-disk.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "kept-test-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A computation that counts how often it is asked for. */
function counted<T>(value: T): { make: () => Promise<T>; times: () => number } {
  let times = 0;
  return {
    make: async () => {
      times++;
      return value;
    },
    times: () => times,
  };
}

const entryOf = async () => join(folder, (await readdir(folder))[0]!);

test("a value is computed once for a key, and comes back as it was", async () => {
  const value = {
    accuracy: 1 / 3,
    perClass: [Number.NaN, 0.5],
    weight: Float64Array.of(0.1, 1e-300),
    no: undefined,
  };
  const { make, times } = counted(value);
  await keptIn(folder).value({ what: "probe" }, make);
  expect(await keptIn(folder).value({ what: "probe" }, make)).toEqual(value);
  expect(times()).toBe(1);
});

test("another key has another value", async () => {
  const kept = keptIn(folder);
  expect(await kept.value({ size: 64 }, async () => "small")).toBe("small");
  expect(await kept.value({ size: 128 }, async () => "large")).toBe("large");
  expect(await keptFor(kept, { encoder: "other" }).value({ size: 64 }, async () => "other")).toBe("other");
});

test("an entry that was changed on the disk is computed again, and replaced", async () => {
  const kept = keptIn(folder);
  await kept.value({ what: "probe" }, async () => [1, 2, 3]);
  const file = join(await entryOf(), "value");
  const bytes = await readFile(file);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(file, bytes);
  const { make, times } = counted([1, 2, 3]);
  expect(await kept.value({ what: "probe" }, make)).toEqual([1, 2, 3]);
  expect(await kept.value({ what: "probe" }, make)).toEqual([1, 2, 3]);
  expect(times()).toBe(1);
});

test("files are put where they are asked for, from the entry or anew, whatever is left there of a damaged one", async () => {
  const kept = keptIn(folder);
  const wrote: string[] = [];
  const ask = async () => {
    const into = await mkdtemp(join(tmpdir(), "kept-into-"));
    try {
      await kept.files({ what: "graphs" }, into, async () => {
        wrote.push(into);
        await writeFile(join(into, "model.onnx"), "a graph");
        await writeFile(join(into, "weights.bin"), "its weights");
      });
      expect((await readdir(into)).sort()).toEqual(["model.onnx", "weights.bin"]);
      expect(await readFile(join(into, "weights.bin"), "utf8")).toBe("its weights");
    } finally {
      await rm(into, { recursive: true });
    }
  };
  await ask();
  await ask();
  expect(wrote).toHaveLength(1);
  await writeFile(join(await entryOf(), "weights.bin"), "its weightz");
  await ask();
  await ask();
  expect(wrote).toHaveLength(2);
});

test("many processes that keep the same at once leave one whole entry", async () => {
  const all = await Promise.all(
    Array.from({ length: 8 }, () => keptIn(folder).value({ what: "probe" }, async () => "same")),
  );
  expect(new Set(all)).toEqual(new Set(["same"]));
  const { make, times } = counted("same");
  await keptIn(folder).value({ what: "probe" }, make);
  expect(times()).toBe(0);
});

test("entries that were not used for longest go where there are too many or too large ones", async () => {
  const kept = keptIn(folder, { entries: 3, bytes: 5000 });
  const { make, times } = counted("x");
  const ask = async (key: number) => {
    await kept.value({ key }, make);
    // Times of files are compared: they must differ.
    await new Promise((done) => setTimeout(done, 5));
  };
  for (const key of [0, 1, 2, 0, 3]) await ask(key);
  expect(times()).toBe(4);
  // 1 was used longest ago; 0 was used again.
  await ask(0);
  expect(times()).toBe(4);
  await ask(1);
  expect(times()).toBe(5);
  await kept.value({ key: "large" }, async () => new Uint8Array(4000));
  const sizes = await Promise.all(
    (await readdir(folder)).map(async (name) => (await stat(join(folder, name, "value"))).size),
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(5000);
  expect(sizes.length).toBeLessThanOrEqual(3);
});

test("where nothing can be written, values are computed", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  expect(await keptIn(join(file, "cache")).value({ what: "probe" }, async () => 1)).toBe(1);
});
