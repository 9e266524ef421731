import { existsSync } from "node:fs";
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { requireOutside } from "../../src/artifact/out-folder.ts";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { writeArtifact } from "../../src/artifact/write-artifact.ts";
import { DataError, UsageError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { sampleContent } from "../support/artifact-content.ts";
import { disk } from "../support/failing-disk.ts";

vi.mock("node:fs/promises", async (original) =>
  (await import("../support/failing-disk.ts")).failing(await original<typeof import("node:fs/promises")>()),
);

let folder: string;
let out: string;
beforeEach(async () => {
  disk.reset();
  folder = await mkdtemp(join(tmpdir(), "clp-dd-artifact-"));
  out = join(folder, "out");
});
afterEach(async () => {
  disk.reset();
  await rm(folder, { recursive: true, force: true });
});

test("what was written is read back bit for bit", async () => {
  const content = sampleContent();
  await writeArtifact(out, content);
  const artifact = await readArtifact(out);
  expect(await artifact.images()).toEqual(content.pixels);
  expect(await artifact.softLabels()).toEqual(content.softLabels);
  expect(artifact.labels).toEqual(Int32Array.of(0, 0, 1, 1, 2, 2));
  const probe = await artifact.probe();
  expect(probe.weight).toEqual(content.probe.weight);
  expect(probe.lambda).toBe(content.probe.lambda);
  expect(probe.calibration).toEqual(content.manifest.probe.calibration);
  expect(probe.novelty).toEqual(content.probe.novelty);
  expect(probe.map).toMatchObject({
    normalization: content.probe.map.normalization,
    mean: content.probe.map.mean,
    std: content.probe.map.std,
  });
  expect(artifact.manifest).toEqual({
    ...content.manifest,
    folders: ["cat", "dog", "owl"],
    files: artifact.manifest.files,
  });
  const levels = await openSafetensors(join(out, "distilled.safetensors"));
  expect(levels.tensors.get("level/2")?.shape).toEqual([6, 3, 2, 2]);
  expect(await levels.float32("level/2")).toEqual(content.levels![1]!.values);
  await levels.close();
});

test("the folder is an image folder of 8-bit PNGs, with every file named in the manifest", async () => {
  const content = sampleContent({ chunk: 5 });
  const { files } = await writeArtifact(out, content);
  expect((await readdir(out)).sort()).toEqual([
    "README.md",
    "distilled.safetensors",
    "images",
    "manifest.json",
    "metrics.jsonl",
    "probe.safetensors",
    "report.html",
  ]);
  expect(await readdir(join(out, "images", "dog"))).toEqual(["0.png", "1.png"]);
  const onDisk = (await readdir(out, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(out.length + 1));
  expect(Object.keys(files).sort()).toEqual(onDisk.filter((name) => name !== "manifest.json").sort());
  // Image 3 is the second dog; the file is interleaved, the tensor planar.
  const { data, info } = await sharp(join(out, "images/dog/1.png"))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(info).toMatchObject({ width: 8, height: 8, channels: 3 });
  for (let p = 0; p < 64; p++) {
    for (let c = 0; c < 3; c++) {
      expect(data[3 * p + c]).toBe(Math.round(255 * content.pixels[3 * 192 + c * 64 + p]));
    }
  }
  const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual(content.curve);
});

test("images are taken a chunk at a time, and no second chunk before the first was written", async () => {
  const content = sampleContent({ ipc: 4, chunk: 3 });
  const seen: number[] = [];
  await writeArtifact(out, {
    ...content,
    async *images() {
      for await (const chunk of content.images()) {
        yield chunk;
        // The writer has asked for the next chunk: it can no longer need this one.
        seen.push(chunk.start);
        chunk.images.fill(Number.NaN);
      }
    },
  });
  expect(seen).toEqual([0, 3, 6, 9, 0, 3, 6, 9]);
  expect(await (await readArtifact(out)).images()).toEqual(content.pixels);
});

test("a folder that is no artefact is refused with what is in it, and one that is only replaced when asked", async () => {
  await mkdir(out);
  await writeArtifact(out, sampleContent());
  await expect(writeArtifact(out, sampleContent())).rejects.toThrow(
    /already holds a distilled set.*`overwrite: true`/,
  );
  await writeArtifact(out, sampleContent({ ipc: 3 }), { overwrite: true });
  expect((await readArtifact(out)).labels).toHaveLength(9);
  const other = join(folder, "photos");
  await mkdir(other);
  await writeFile(join(other, "holiday.jpg"), "x");
  await expect(writeArtifact(other, sampleContent(), { overwrite: true })).rejects.toThrow(
    /is not empty \(holiday\.jpg\).*Choose another `out`/,
  );
  const file = join(folder, "file");
  await writeFile(file, "x");
  await expect(writeArtifact(file, sampleContent())).rejects.toThrow(DataError);
  expect((await readdir(folder)).sort()).toEqual(["file", "out", "photos"]);
});

test("a kill at any operation leaves nothing or all of it", async () => {
  const content = sampleContent({ classes: ["a", "b"], ipc: 1, size: 4 });
  await writeArtifact(out, content);
  const operations = disk.operations;
  expect(operations).toBeGreaterThan(15);
  for (let k = 1; k <= operations; k++) {
    disk.reset();
    await rm(out, { recursive: true });
    disk.reset(k);
    await writeArtifact(out, content).catch(() => {});
    disk.reset();
    // The folder is there only when whole, and the next run writes it and clears away what was left.
    if (existsSync(out)) await readArtifact(out);
    await writeArtifact(out, content, { overwrite: true });
    await readArtifact(out);
    expect(await readdir(folder)).toEqual(["out"]);
  }
});

test("a kill while an artefact is being replaced leaves the old one or the new one", async () => {
  const before = sampleContent({ classes: ["a", "b"], ipc: 1, size: 4 });
  const after = sampleContent({ classes: ["a", "b"], ipc: 2, size: 4 });
  await writeArtifact(out, before);
  disk.reset();
  await writeArtifact(out, after, { overwrite: true });
  const operations = disk.operations;
  const sizes = new Set<number>();
  for (let k = 1; k <= operations; k++) {
    disk.reset();
    await rm(folder, { recursive: true });
    await mkdir(folder);
    await writeArtifact(out, before);
    disk.reset(k);
    await writeArtifact(out, after, { overwrite: true }).catch(() => {});
    disk.reset();
    const { labels } = await readArtifact(out);
    expect([2, 4]).toContain(labels.length);
    sizes.add(labels.length);
    await writeArtifact(out, after, { overwrite: true });
    expect(await readdir(folder)).toEqual(["out"]);
  }
  expect(sizes).toEqual(new Set([2, 4]));
});

test("folders beside it whose names a person may have given are left as they are", async () => {
  await writeArtifact(`${out}.old`, sampleContent({ ipc: 1 }));
  await mkdir(`${out}.partial-photos`);
  await expect(readArtifact(out)).rejects.toThrow(/holds no manifest\.json/);
  await writeArtifact(out, sampleContent());
  await writeArtifact(out, sampleContent({ ipc: 3 }), { overwrite: true });
  expect((await readArtifact(`${out}.old`)).labels).toHaveLength(3);
  expect((await readdir(folder)).sort()).toEqual(["out", "out.old", "out.partial-photos"]);
});

test("a folder inside of the data set is refused, be it by way of a link", async () => {
  const photos = join(folder, "photos");
  const link = join(folder, "link");
  await mkdir(photos);
  await symlink(photos, link);
  for (const [to, data] of [
    [join(photos, "red", "o"), photos],
    [join(photos, "o"), link],
    [join(link, "o"), photos],
    [link, photos],
  ] as const) {
    await expect(requireOutside(to, data)).rejects.toThrow(UsageError);
    await expect(requireOutside(to, data)).rejects.toThrow(/is inside the data set/);
  }
  await requireOutside(out, photos);
  await requireOutside(join(folder, "photos-small"), link);
  await requireOutside(out, join(folder, "nowhere"));
});

test("a full disk is named with what is needed and how to go on, and nothing is left of the attempt", async () => {
  const attempt = (goOn?: string) => {
    disk.reset(7, { dies: false, code: "ENOSPC" });
    return writeArtifact(out, sampleContent(), { goOn });
  };
  const needed = /disk is full: .*out needs up to 1\.0\d MiB\. Make room, then run the same command again\.$/;
  await expect(attempt()).rejects.toThrow(DataError);
  await expect(attempt()).rejects.toThrow(needed);
  await expect(attempt("wait for a tape")).rejects.toThrow(/Make room, then wait for a tape\.$/);
  expect(await readdir(folder)).toEqual([]);
});

test("an error of the images is not taken for one of the disk", async () => {
  const content = sampleContent();
  const attempt = writeArtifact(out, {
    ...content,
    // biome-ignore lint/correctness/useYield: it fails before it could.
    async *images() {
      throw new RangeError("rendering failed");
    },
  });
  await expect(attempt).rejects.toThrow(new RangeError("rendering failed"));
  expect(await readdir(folder)).toEqual([]);
});

test("what a killed process left is cleared away, what a living one writes is not", async () => {
  const dead = `${out}.partial-999999999`;
  const living = `${out}.partial-${process.ppid}`;
  await mkdir(dead);
  await mkdir(living);
  await writeArtifact(out, sampleContent());
  expect((await readdir(folder)).sort()).toEqual(["out", `out.partial-${process.ppid}`]);
});

test("a changed, missing or foreign file is named", async () => {
  await writeArtifact(out, sampleContent());
  await appendFile(join(out, "images/cat/0.png"), "x");
  await expect(readArtifact(out)).rejects.toThrow(/images\/cat\/0\.png was changed or damaged/);
  await rm(join(out, "images/cat/0.png"));
  await expect(readArtifact(out)).rejects.toThrow(/images\/cat\/0\.png is missing/);
  await expect(readArtifact(folder)).rejects.toThrow(/holds no manifest\.json.*clp-dd distill/);
  await rename(join(out, "manifest.json"), join(out, "other.json"));
  await expect(readArtifact(out)).rejects.toThrow(DataError);
});

test("a manifest that lists no files, or not all that are needed, does not switch the checks off", async () => {
  const path = join(out, "manifest.json");
  await writeArtifact(out, sampleContent());
  const { sha256: _, ...manifest } = JSON.parse(await readFile(path, "utf8"));
  for (const kept of [
    [],
    ["probe.safetensors"],
    Object.keys(manifest.files).filter((name) => !/owl/.test(name)),
  ]) {
    const files = Object.fromEntries(kept.map((name) => [name, manifest.files[name]]));
    await writeFile(path, JSON.stringify({ ...manifest, files }));
    await expect(readArtifact(out)).rejects.toThrow(
      /gives no hash of (distilled\.safetensors|images\/owl|most of its)/,
    );
  }
  // As written by a version that had no hash in the manifest.
  await writeFile(path, JSON.stringify(manifest));
  expect((await readArtifact(out)).manifest).toEqual(manifest);
});
