import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFeatureCache } from "../../src/features/cache-reader.ts";
import {
  type Artifact,
  baseline,
  compare,
  datasets,
  distill,
  encoders,
  evaluate,
  extract,
  fetchEncoders,
  inspect,
  type LoadedEncoder,
  loadEncoder,
  type Manifest,
  matrix,
  profile,
  readArtifact,
} from "../../src/index.ts";
import { makePhotos } from "../support/photos.ts";

let folder: string;
const classes = ["blue", "green", "red"];
const size = 32;
let cache: { readonly cacheFolder: string };
let data: string;
let manifest: Manifest;
let set: Artifact;
let encoder: LoadedEncoder;
let tests: { readonly paths: string[]; readonly labels: number[] };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-public-api-"));
  data = join(folder, "photos");
  cache = { cacheFolder: join(folder, "cache") };
  for (const split of ["train", "test"]) await makePhotos(join(data, split), 4);
  // Some are no squares, and one is turned: what an encoder sees of them depends on its preprocessing.
  const first = join(data, "test", "red", "0.png");
  await writeFile(first, await sharp(first).resize(50, 40, { fit: "fill" }).png().toBuffer());
  const paths = classes.flatMap((name) => [0, 1, 2, 3].map((i) => join(data, "test", name, `${i}.png`)));
  tests = { paths, labels: paths.map((_, i) => Math.floor(i / 4)) };
  const request = { data, out: join(folder, "set"), size, steps: 3, ...cache };
  ({ manifest } = await distill({ ...request, baselines: false }));
  set = await readArtifact(join(folder, "set"));
  encoder = await loadEncoder(set);
}, 120_000);
afterAll(async () => {
  await encoder?.release();
  await rm(folder, { recursive: true, force: true });
});

describe("from image files to predictions", () => {
  it("the set's own encoder and probe reach the accuracy that was measured", async () => {
    const features = await encoder.encode(tests.paths);
    const probe = await set.probe();
    expect([features.rows, features.cols]).toEqual([12, encoder.featureSize]);
    expect(manifest.classes).toEqual(classes);
    expect(probe.score(features, tests.labels)).toBe(manifest.metrics.closedForm?.top1);
    const predicted = probe.predict(features);
    const right = tests.labels.filter((label, i) => predicted[i] === label).length;
    expect(right / 12).toBe(manifest.metrics.closedForm?.top1);
  });

  it("features are those of the cache that the probe was measured on", async () => {
    const [, test] = await extract({ data, size, ...cache });
    expect(test).toMatchObject({ split: "test", count: 12, featureSize: encoder.featureSize });
    const opened = await openFeatureCache(test!.path);
    const cached = new Float32Array(12 * opened.featureSize);
    await opened.rows(
      Int32Array.from({ length: 12 }, (_, i) => i),
      cached,
    );
    opened.close();
    const features = await encoder.encode(tests.paths);
    expect(Math.max(...features.data.map((x, i) => Math.abs(x - cached[i]!)))).toBeLessThan(1e-4);
  });

  it("a path, a file's bytes and its pixels give the same features", async () => {
    const [path] = tests.paths as [string];
    const bytes = await readFile(path);
    const { data: rgb, info } = await sharp(path).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
    for (let p = 0; p < width * height; p++) for (let c = 0; c < 3; c++) rgba[4 * p + c] = rgb[3 * p + c]!;
    const images = [path, bytes, { width, height, data: rgb }, { width, height, data: rgba }];
    const { data: features, cols } = await encoder.encode(images);
    for (let i = 1; i < 4; i++) {
      for (let j = 0; j < cols; j++) expect(features[i * cols + j]).toBeCloseTo(features[j]!, 4);
    }
  });

  it("transparent pixels count as white", async () => {
    const clear = { width: 40, height: 40, data: new Uint8Array(40 * 40 * 4) };
    const white = { width: 40, height: 40, data: new Uint8Array(40 * 40 * 3).fill(255) };
    const { data: features, cols } = await encoder.encode([clear, white]);
    for (let j = 0; j < cols; j++) expect(features[j]).toBeCloseTo(features[cols + j]!, 4);
  });

  it("an image that cannot be used is named", async () => {
    await expect(encoder.encode([tests.paths[0]!, "no-such.jpg"])).rejects.toThrow(
      /no-such\.jpg cannot be read/,
    );
    const torn = { width: 4, height: 4, data: new Uint8Array(5) };
    await expect(encoder.encode([torn])).rejects.toThrow(/Image 0 is 4 × 4 with 5 bytes/);
  });

  it("the probe refuses features of another encoder by their size", async () => {
    const probe = await set.probe();
    expect(() => probe.predict(matrix(2, 7))).toThrow(/n × 1280, got 2 × 7/);
    expect(() => probe.score(matrix(2, encoder.featureSize), [0])).toThrow(/2 rows .* got 1/);
  });
});

describe("an encoder in a program", () => {
  it("is the set's own: size, feature, pooling and weights", () => {
    const { encoder: recorded, imageSize } = set.manifest;
    expect(encoder.preprocessing).toEqual(recorded.preprocessing);
    expect(encoder.preprocessing.crop).toEqual([imageSize, imageSize]);
    expect(encoder.provenance.sha256).toBe(recorded.sha256);
    expect(encoder.feature).toMatchObject({ tensor: recorded.feature, pool: recorded.pool });
  });

  it("is refused where it is another one than the set's", async () => {
    const sha256 = "0".repeat(64);
    const other = { ...set, manifest: { ...set.manifest, encoder: { ...set.manifest.encoder, sha256 } } };
    await expect(loadEncoder(other)).rejects.toThrow(/is not the encoder that .* was made with.*sha256/);
  });

  it("gives features of pixels, and their pullback by finite differences", async () => {
    const images = new Float32Array(3 * size * size).map((_, i) => 0.5 + 0.4 * Math.sin(i / 7));
    const { rows, cols, data: value } = await encoder.features(images);
    expect([rows, cols]).toEqual([1, encoder.featureSize]);
    const gradient = await encoder.pullback(images, matrix(1, cols, value));
    // Along the gradient g, the half square of the features grows by ‖g‖ per unit of length.
    const norm = Math.hypot(...gradient);
    const at = async (t: number) => {
      const moved = images.map((x, i) => x + (t * gradient[i]!) / norm);
      const features = await encoder.features(moved);
      return features.data.reduce((sum, x) => sum + x ** 2 / 2, 0);
    };
    const h = 1e-4;
    expect(((await at(h)) - (await at(-h))) / (2 * h) / norm).toBeCloseTo(1, 2);
    await expect(encoder.pullback(images, matrix(2, cols))).rejects.toThrow(/1 × 1280, got 2 × 1280/);
    await expect(encoder.features(new Float32Array(5))).rejects.toThrow(/5 numbers do not fill images/);
  });

  it("is released at the end of a block that uses it", async () => {
    const other = await loadEncoder("efficientnet-lite0", { size });
    await other[Symbol.asyncDispose]();
    await expect(other.encode(tests.paths)).rejects.toThrow(/was released/);
    await expect(other.release()).resolves.toBeUndefined();
  });
});

describe("every command is a function", () => {
  it("baseline, evaluate and compare measure real images and sets", async () => {
    const made = await baseline({
      ...{ kind: "random", data, out: join(folder, "random"), size, ipc: 1, ...cache },
      baselines: false,
    });
    expect(made.manifest.kind).toBe("random");
    const request = { data, probes: ["closed-form"], references: false, augmentation: "off" } as const;
    const measured = await evaluate([join(folder, "set"), made.out], { ...request, ...cache });
    expect(measured.map(({ kind }) => kind)).toEqual(["distilled", "random"]);
    expect(measured[0]!.probes[0]!.top1.mean).toBe(manifest.metrics.closedForm?.top1);
    const grid = {
      ...{ data: [data], encoders: [`efficientnet-lite0@${size}`], methods: ["random" as const] },
      evaluate: { probes: ["closed-form" as const], augmentation: "off" as const },
    };
    const { cells, failures } = await compare(grid, { out: join(folder, "grid"), ...cache });
    expect(failures).toEqual([]);
    expect(cells.map(({ cell }) => cell.method)).toEqual(["random"]);
  }, 120_000);

  it("inspect, profile, encoders and datasets describe what there is", async () => {
    const inspection = await inspect("efficientnet-lite0", { size });
    expect(inspection.candidates.find(({ chosen }) => chosen)?.dims).toContain(encoder.featureSize);
    const profiled = await profile({ size, images: 2, steps: 1 });
    expect(profiled).toMatchObject({ images: 2, steps: 1, size });
    const embedded = (await encoders()).find(({ name }) => name === "efficientnet-lite0");
    expect(embedded).toMatchObject({ present: true, featureSize: encoder.featureSize });
    await expect(fetchEncoders(["efficientnet-lite0"])).resolves.toEqual([]);
    expect(datasets().find(({ name }) => name === "cifar-10")).toMatchObject({ classes: 10 });
  });

  it("a setting that does not exist is refused", async () => {
    const request = { data, out: join(folder, "typo"), ...cache, leraningRate: 1 };
    await expect(distill(request)).rejects.toThrow(/leraningRate/);
  });
});
