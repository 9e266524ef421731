import { describe, expect, it } from "vitest";
import type { Encoder } from "../../src/encoder/encoder.ts";
import { UsageError } from "../../src/errors.ts";
import { createFeatureAugmenter } from "../../src/evaluate/augmented-features.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

// Small enough to be quick, large enough that two draws are hardly ever the same crop.
const size = 16;
const pixels = 3 * size * size;

/** An "encoder" whose features tell images apart, flipped ones too, and the greatest pixel; it counts what it sees. */
function meanEncoder(crop: readonly [number, number] = [size, size]): Encoder & { seen: number } {
  const encoder = {
    seen: 0,
    featureSize: 2,
    provenance: { id: "mean", sha256: "" },
    preprocessing: { crop },
    async features(images: Float32Array, count: number) {
      encoder.seen += count;
      return Float32Array.from({ length: 2 * count }, (_, k) => {
        const own = images.subarray(Math.floor(k / 2) * pixels, (Math.floor(k / 2) + 1) * pixels);
        return k % 2 === 0 ? own.reduce((sum, x, p) => sum + x * Math.sin(p), 0) : Math.max(...own);
      });
    },
  };
  return encoder as unknown as Encoder & { seen: number };
}

const images = Float32Array.from({ length: 3 * pixels }, (_, p) => ((p * 37) % 101) / 101);
const labels = Int32Array.of(0, 1, 2);
const all = Int32Array.of(0, 1, 2);

async function withAugmenter<T>(
  encoder: Encoder,
  work: (augmenter: Awaited<ReturnType<typeof createFeatureAugmenter>>) => Promise<T>,
): Promise<T> {
  const augmenter = await createFeatureAugmenter(nodeRuntime({ threads: 1 }), encoder);
  try {
    return await work(augmenter);
  } finally {
    await augmenter.release();
  }
}

describe("features of augmented draws", () => {
  it("come from a fixed number of draws that every epoch takes one of, image by image", async () => {
    const encoder = meanEncoder();
    await withAugmenter(encoder, async (augmenter) => {
      const drawn = augmenter.training(images, labels, 1, 4);
      const { features, draws } = await drawn.every();
      expect(draws).toBe(4);
      expect(features).toHaveLength(4 * 3 * 2);
      expect(encoder.seen).toBe(12);
      const taken = [new Set<number>(), new Set<number>(), new Set<number>()];
      for (let epoch = 0; epoch < 60; epoch++) {
        const rows = new Float32Array(6);
        await drawn.rows(all, rows, epoch);
        for (const image of [0, 1, 2]) {
          const draw = [0, 1, 2, 3].find(
            (k) =>
              features[(k * 3 + image) * 2] === rows[image * 2] &&
              features[(k * 3 + image) * 2 + 1] === rows[image * 2 + 1],
          );
          expect(draw).toBeDefined();
          taken[image].add(draw!);
        }
      }
      // Sixty of four draws: each comes up, for each image.
      for (const draws of taken) expect(draws.size).toBe(4);
      expect(encoder.seen).toBe(12);
    });
  });

  it("stay in the range of the image: no noise is added", async () => {
    await withAugmenter(meanEncoder(), async (augmenter) => {
      const { features } = await augmenter.training(images, labels, 2, 30).every();
      const greatest = Math.max(...images);
      for (let k = 1; k < features.length; k += 2) expect(features[k]).toBeLessThanOrEqual(greatest + 1e-6);
    });
  });

  it("are drawn anew each epoch where that is asked for", async () => {
    const encoder = meanEncoder();
    await withAugmenter(encoder, async (augmenter) => {
      const drawn = augmenter.training(images, labels, 1, "each epoch");
      const seen = new Set<string>();
      for (let epoch = 0; epoch < 20; epoch++) {
        const rows = new Float32Array(6);
        await drawn.rows(all, rows, epoch);
        seen.add(rows.join());
      }
      expect(seen.size).toBe(20);
      expect(encoder.seen).toBe(60);
    });
  });

  it("are equal for equal seeds and differ for others", async () => {
    await withAugmenter(meanEncoder(), async (augmenter) => {
      const of = async (seed: number) => (await augmenter.training(images, labels, seed, 2).every()).features;
      expect(await of(1)).toEqual(await of(1));
      expect(await of(1)).not.toEqual(await of(2));
    });
  });

  it("need square images", async () => {
    await expect(createFeatureAugmenter(nodeRuntime({}), meanEncoder([48, 224]))).rejects.toThrow(UsageError);
  });
});
