import type { ArtifactContent } from "../../src/artifact/content.ts";
import type { Manifest } from "../../src/artifact/manifest.ts";
import { syntheticLabels } from "../../src/distill/loop.ts";
import { featureMap } from "../../src/probe/feature-map.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";

/** A made-up run's manifest: every field in use, and numbers that no run gave. */
export function sampleManifest(
  classes: readonly string[] = ["cat", "dog", "owl"],
  ipc = 2,
  imageSize = 8,
): Omit<Manifest, "folders" | "files"> {
  const m = classes.length * ipc;
  return {
    schemaVersion: 1,
    tool: { name: "clp-dd", version: "0.1.0" },
    kind: "distilled",
    config: DistillConfig.parse({ ipc }),
    command:
      "clp-dd distill pets --out pets-distilled --ipc 2 --seed 3 --normalize standardize-l2 --steps 300 --lr 0.02 --lambda 0.1",
    classes: [...classes],
    imageSize,
    encoder: {
      id: "tiny",
      sha256: "ab".repeat(32),
      license: "Apache-2.0",
      source: "https://example.org/tiny",
      feature: "pooled",
      askedPool: "auto",
      pool: "mean",
      featureSize: 5,
      precision: "float32",
      preprocessing: {
        resize: 10,
        crop: [imageSize, imageSize],
        interpolation: "bicubic",
        cropOffset: "round",
        mean: [0.5, 0.5, 0.5],
        std: [0.5, 0.5, 0.5],
      },
    },
    data: {
      name: "pets",
      counts: { train: 1200, test: 300 },
      fingerprints: { train: "cd".repeat(32), test: "ef".repeat(32) },
      notes: ["2 files were passed over."],
      licenses: [
        { name: "Pet photos", author: "A. Nother", spdx: "CC-BY-SA-4.0", url: "https://example.org/pets" },
        { name: "More pets", author: "S. Body", spdx: "MIT", url: "https://example.org/more" },
      ],
    },
    probe: {
      normalization: "standardize-l2",
      lambda: 0.1,
      tau: 0.1,
      usesStatistics: true,
      calibration: { temperature: 0.25, unknownBelow: 0.125, falseAlarms: 0.05, images: 1200 },
    },
    metrics: {
      closedForm: {
        top1: 0.5,
        calibrationError: 0.0131,
        perClass: classes.map((_, i) => (i === 1 ? null : 0.25 + (0.5 * i) / classes.length)),
      },
      fullData: { top1: 0.625, lambda: 0.03, probe: "closed form" },
      centroid: { top1: 0.375 },
      random: { mean: 0.25, std: 0.0125, seeds: [0, 1, 2, 3, 4] },
      edits: {
        each: [
          { name: "JPEG 90", top1: 0.49 },
          { name: "mirrored", top1: 0.25 },
        ],
        mean: 0.37,
        worst: 0.25,
      },
      rows: [
        { name: "full data", protocol: "closed form", images: 1200, top1: 0.625 },
        { name: "distilled", protocol: "closed form", images: m, top1: 0.5 },
        { name: "centroid images", protocol: "closed form", images: m, top1: 0.375 },
        { name: "random images", protocol: "closed form", images: m, top1: 0.25, std: 0.0125 },
      ],
    },
    stages: [
      { name: "features of the real images", seconds: 12.34, peakMemoryBytes: 300 * 2 ** 20 },
      { name: "distillation", seconds: 45.6, peakMemoryBytes: 512 * 2 ** 20 },
    ],
    seconds: 45.6,
    peakMemoryBytes: 512 * 2 ** 20,
    machine: { cpu: "a processor", cores: 2, node: "v20.19.0", onnxruntime: "1.2.3", threads: 2 },
  };
}

/** What an artefact holds, made up from seeded random numbers; images come in chunks of `chunk`. */
export function sampleContent(
  options: { classes?: readonly string[]; ipc?: number; size?: number; chunk?: number } = {},
): ArtifactContent & { readonly pixels: Float32Array } {
  const { classes = ["cat", "dog", "owl"], ipc = 2, size = 8, chunk = 4 } = options;
  const random = seededRandom(7, "sample artefact");
  const m = classes.length * ipc;
  const each = 3 * size * size;
  const pixels = Float32Array.from({ length: m * each }, () => random.uniform());
  const labels = syntheticLabels(classes.length, ipc);
  const numbers = (n: number) => Float64Array.from({ length: n }, () => random.normal());
  return {
    pixels,
    manifest: sampleManifest(classes, ipc, size),
    async *images() {
      for (let start = 0; start < m; start += chunk) {
        const count = Math.min(chunk, m - start);
        yield { start, count, images: pixels.slice(start * each, (start + count) * each) };
      }
    },
    labels,
    softLabels: Float32Array.from(centeredOneHot(labels, classes.length).data),
    levels: [1, 2].map((side) => ({
      side,
      values: Float32Array.from(numbers(m * 3 * side * side)),
      first: new Float32Array(m * 3 * side * side),
      second: new Float32Array(m * 3 * side * side),
    })),
    probe: {
      weight: matrix(5, classes.length, numbers(5 * classes.length)),
      map: featureMap({
        normalization: "standardize-l2",
        mean: numbers(5),
        std: numbers(5).map((x) => Math.abs(x) + 0.1),
      }),
      lambda: 0.1,
      novelty: {
        mean: numbers(5).map(Math.fround),
        scale: numbers(5).map((x) => Math.fround(Math.abs(x))),
        basis: matrix(2, 5, numbers(10).map(Math.fround)),
        levels: { residualMean: 0.4, residualDeviation: 0.1, bestMean: 0.7, bestDeviation: 0.2 },
      },
    },
    curve: Array.from({ length: 300 }, (_, i) => ({
      step: i + 1,
      loss: 0.4 + Math.exp(-i / 60) + 0.05 * random.normal(),
      batchAccuracy: 0.6 - 0.4 * Math.exp(-i / 50) + 0.01 * random.normal(),
    })),
  };
}
