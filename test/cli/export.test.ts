import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sealManifest } from "../../src/artifact/manifest.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { baseline, classify, exportClassifier } from "../../src/index.ts";
import { clpdd } from "../support/command.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { classifyInNode } from "../support/in-node.ts";
import { makePhotos } from "../support/photos.ts";

let data: DataFolder;
let set: string;
let photos: string;
beforeAll(async () => {
  data = await dataFolder();
  photos = await makePhotos(join(data.path, "photos", "train"), 4, 32);
  await makePhotos(join(data.path, "photos", "test"), 2, 32);
  set = join(data.path, "set");
  const cacheFolder = join(data.path, "cache");
  const common = { size: 32, ipc: 1, cacheFolder, baselines: false, edits: false };
  await baseline({ kind: "random", data: join(data.path, "photos"), out: set, ...common });
}, 120_000);
afterAll(() => data.remove());

it("the command writes a folder of the hub's layout, with files of each type and what they cost", async () => {
  const out = join(data.path, "model");
  const types = ["--dtype", "q8,fp16,fp32", "--data", join(data.path, "photos")];
  const { code, stdout, stderr } = await clpdd(["export", set, "--out", out, ...types, "--json", "--quiet"]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  const summary = JSON.parse(stdout.trim().split("\n").at(-1)!);
  expect(summary.losses).toHaveLength(2);
  for (const loss of summary.losses) expect(loss).toMatchObject({ images: 6, agreement: 1, exactTop1: 1 });
  expect((await readdir(out)).sort()).toEqual([
    "README.md",
    "config.json",
    "onnx",
    "preprocessor_config.json",
  ]);
  expect((await readdir(join(out, "onnx"))).sort()).toEqual([
    "model.onnx",
    "model_fp16.onnx",
    "model_quantized.onnx",
  ]);
  const config = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
  expect(config).toMatchObject({
    model_type: "vit",
    id2label: { 0: "blue", 1: "green", 2: "red" },
    label2id: { blue: 0, green: 1, red: 2 },
    "transformers.js_config": { dtype: "q8" },
  });
  const processor = JSON.parse(await readFile(join(out, "preprocessor_config.json"), "utf8"));
  expect(processor).toMatchObject({
    image_processor_type: "ViTImageProcessor",
    do_resize: false,
    do_normalize: false,
  });
  const card = await readFile(join(out, "README.md"), "utf8");
  for (const part of [
    "license:\n  - apache-2.0",
    "pixel_values",
    'pipeline("image-classification"',
    "100.0 %",
  ]) {
    expect(card).toContain(part);
  }
  const pictures = ["red/0.png", "green/1.png", "blue/2.png"].map((name) => join(photos, name));
  const { labels } = await classifyInNode(out, pictures);
  expect(labels).toEqual(["red", "green", "blue"]);
}, 120_000);

it("weights beside the model are found by transformers.js", async () => {
  const out = join(data.path, "large");
  await exportClassifier(set, { out, externalAbove: 4e6 });
  const names = (await readdir(join(out, "onnx"))).sort();
  expect(names.slice(0, 2)).toEqual(["model.onnx", "model.onnx_data"]);
  expect(names.length).toBeGreaterThan(2);
  const pictures = [join(photos, "green/0.png")];
  const [own] = await classify(set, pictures);
  const { labels, scores } = await classifyInNode(out, pictures);
  expect(own).toMatchObject({ class: labels[0] });
  expect(own).toHaveProperty("probability", expect.closeTo(scores[0], 3));
}, 120_000);

it("an export is replaced only when that is asked for, and nothing else ever", async () => {
  const out = join(data.path, "again");
  await exportClassifier(set, { out });
  await expect(exportClassifier(set, { out })).rejects.toThrow(/already holds an export.*overwrite: true/);
  await writeFile(join(out, "onnx", "note.txt"), "of the old one");
  await exportClassifier(set, { out, overwrite: true });
  expect(await readdir(join(out, "onnx"))).toEqual(["model.onnx"]);
  const own = join(data.path, "own");
  await mkdir(own);
  await writeFile(join(own, "config.json"), "{}");
  const refused = await clpdd(["export", set, "--out", own, "--overwrite"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/is not empty \(config\.json\) and is not an export/);
  expect(await readdir(own)).toEqual(["config.json"]);
}, 120_000);

it("an image in place of a set, a set without a probe, another encoder and other data are refused, and nothing is written", async () => {
  const out = join(data.path, "refused");
  const photo = join(photos, "red", "0.png");
  await expect(exportClassifier(photo, { out })).rejects.toThrow(/holds no manifest\.json.*clp-dd distill/);
  await expect(exportClassifier(set, { out, encoder: "no-such.onnx" })).rejects.toThrow(/no-such\.onnx/);
  await expect(exportClassifier(set, { out, dtypes: ["q8"], data: "emoji" })).rejects.toThrow(
    /has the classes/,
  );
  const probeless = join(data.path, "probeless");
  const written = await readFile(join(set, "manifest.json"), "utf8");
  const { sha256: _, ...manifest } = JSON.parse(written);
  const { "probe.safetensors": __, ...files } = manifest.files;
  await mkdir(probeless);
  await writeFile(join(probeless, "manifest.json"), await sealManifest({ ...manifest, files }, sha256OfText));
  await expect(exportClassifier(probeless, { out })).rejects.toThrow(/no hash of probe\.safetensors/);
  const other = { ...manifest, encoder: { ...manifest.encoder, sha256: "0".repeat(64) } };
  await rm(join(set, "manifest.json"));
  await writeFile(join(set, "manifest.json"), await sealManifest(other, sha256OfText));
  await expect(exportClassifier(set, { out })).rejects.toThrow(/is not the encoder that .* was made with/);
  await writeFile(join(set, "manifest.json"), written);
  expect(await readdir(data.path)).not.toContain("refused");
}, 120_000);
