import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { baseline, classify, loadEncoder, readArtifact } from "../../src/index.ts";
import { clpdd } from "../support/command.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { makePhotos } from "../support/photos.ts";

let data: DataFolder;
let set: string;
let photos: string;
beforeAll(async () => {
  data = await dataFolder();
  photos = await makePhotos(join(data.path, "photos"), 4, 32);
  set = join(data.path, "set");
  const cacheFolder = join(data.path, "cache");
  await baseline({
    kind: "random",
    data: photos,
    out: set,
    size: 32,
    ipc: 1,
    cacheFolder,
    baselines: false,
    edits: false,
  });
  await writeFile(join(data.path, "torn.jpg"), "no image");
}, 120_000);
afterAll(() => data.remove());

it("classes are the probe's, with probabilities and runners-up in order; pixels and bytes are taken as well", async () => {
  const read = await readArtifact(set);
  const paths = ["red/0.png", "blue/1.png"].map((name) => join(photos, name));
  const images = [...paths, await readFile(paths[0]), { width: 1, height: 1, data: new Uint8Array(3) }];
  const found = await classify(read, [...images, join(data.path, "torn.jpg")]);
  await using encoder = await loadEncoder(read);
  const features = await encoder.encode(images);
  const probe = await read.probe();
  const predicted = probe.predict(features);
  const probabilities = probe.probabilities(features);
  const unknown = probe.unknown(features);
  for (const [i, label] of predicted.entries()) {
    const own = found[i];
    if ("unreadable" in own) throw new Error(own.unreadable);
    expect(own.class).toBe(read.manifest.classes[label]);
    expect(own.index).toBe(label);
    expect(own.probability).toBeCloseTo(probabilities.data[3 * i + label], 4);
    expect(own.unknown).toBe(unknown[i]);
    const ranked = [own, ...own.runnersUp].map(({ probability }) => probability!);
    expect(ranked).toEqual([...ranked].sort((a, b) => b - a));
    expect(ranked.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
  }
  expect(found[0]).toMatchObject({ image: paths[0], class: "red" });
  expect(found[2]).toMatchObject({ image: "image 2", class: "red" });
  expect(found[4]).toMatchObject({ image: join(data.path, "torn.jpg"), unreadable: expect.any(String) });
}, 60_000);

it("the command prints a line of JSON for each image, names what it skips, and copies files by class", async () => {
  const out = join(data.path, "sorted");
  const args = ["classify", set, photos, "torn.jpg", "none.png", "--json", "--copy-to", out, "--quiet"];
  const { code, stdout, stderr } = await clpdd(args, { cwd: data.path });
  expect(code).toBe(0);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toHaveLength(14);
  expect(stderr).toMatch(/Skipped: .*torn\.jpg/);
  expect(stderr).toMatch(/Skipped: .*none\.png/);
  const copied = (await readdir(out, { recursive: true, withFileTypes: true })).filter((e) => e.isFile());
  expect(copied).toHaveLength(12);
  for (const line of lines.slice(0, 12)) {
    expect(await readFile(line.file)).toEqual(await readFile(line.image));
    expect(line.file).toContain(join(out, line.unknown ? "unknown" : line.class));
  }
}, 60_000);

it("the command prints a table or comma-separated values", async () => {
  const table = await clpdd(["classify", set, "red", "--quiet"], { cwd: photos });
  expect(table.stdout).toMatch(/image +class +probability +or/);
  expect(table.stdout).toMatch(/0\.png.*red.* \d+\.\d %/);
  expect(table.stdout).toMatch(/4 images in \d+\.\d s/);
  const values = await clpdd(["classify", set, join(photos, "red"), "--csv", "--quiet"]);
  const [head, ...rows] = values.stdout.trim().split("\n");
  expect(head).toBe("image,class,probability,score,unknown,runner-up,runner-up probability");
  expect(rows).toHaveLength(4);
  for (const row of rows) expect(row.split(",")).toHaveLength(7);
}, 60_000);

it("an image in place of a set, no image and another encoder are refused with what to do", async () => {
  const photo = join(photos, "red", "0.png");
  await expect(classify(photo, [photo])).rejects.toThrow(/holds no manifest\.json.*clp-dd distill/);
  await expect(classify(set, [])).rejects.toThrow(/No image was given/);
  await expect(classify(set, [photo], { encoder: "no-such.onnx" })).rejects.toThrow(/no-such\.onnx/);
  const all = await clpdd(["classify", set, join(data.path, "torn.jpg"), "--quiet"]);
  expect(all.code).not.toBe(0);
  expect(all.stderr).toMatch(/The image could not be read/);
}, 60_000);
