import type { FeatureCacheSpec } from "../../src/features/cache-format.ts";
import { FeatureCacheWriter } from "../../src/features/cache-writer.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import { measureStage } from "../../src/memory.ts";
import { seededRandom } from "../../src/random.ts";

/** Image size of the distillation, features and classes of the cache. */
export const shape = { size: 32, d: 768, classes: 1000 } as const;

export interface MadeCache {
  readonly name: string;
  readonly path: string;
  readonly seconds: number;
  readonly peakMemoryBytes: number;
  readonly bytes: number;
}

/** How the encoder's images are prepared; part of the cache's identity. */
export const preprocessing = Preprocessing.parse({
  resize: shape.size,
  crop: [shape.size, shape.size],
  interpolation: "bilinear",
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
});

export function specOf(rows: number): FeatureCacheSpec {
  return {
    identity: {
      encoder: { id: "made", sha256: "0".repeat(64) },
      feature: "made",
      preprocessing,
      fast: false,
      data: { name: "made", fingerprint: "1".repeat(64) },
      split: "train",
    },
    storage: "float16",
    featureSize: shape.d,
    classes: Array.from({ length: shape.classes }, (_, c) => `class ${c}`),
    groups: null,
    images: rows,
  };
}

/**
 * Writes `rows` features under `root`, sorted by class as an image folder's are: a class's mean, normal in every
 * feature, and noise of standard deviation 2, a window at a random place of a million normal numbers.
 */
export async function make(root: string, rows: number): Promise<MadeCache> {
  const { d, classes } = shape;
  const random = seededRandom(0, "made cache");
  const means = Float32Array.from({ length: classes * d }, () => random.normal());
  const noise = Float32Array.from({ length: 2 ** 20 }, () => 2 * random.normal());
  const together = 1024;
  const { result: path, stage } = await measureStage("making the cache", async () => {
    const writer = await FeatureCacheWriter.open(root, specOf(rows));
    const features = new Float32Array(together * d);
    for (let start = 0; start < rows; start += together) {
      const count = Math.min(together, rows - start);
      const indices = Int32Array.from({ length: count }, (_, i) => start + i);
      const labels = indices.map((row) => Math.floor((row * classes) / rows));
      for (let i = 0; i < count; i++) {
        const from = random.below(noise.length - d);
        for (let j = 0; j < d; j++) features[i * d + j] = means[labels[i]! * d + j] + noise[from + j];
      }
      await writer.append({ features: features.subarray(0, count * d), indices, labels });
    }
    return writer.finish();
  });
  return { ...stage, path, bytes: rows * d * 2 };
}
