import type { Encoder } from "../encoder/encoder.ts";
import { UsageError } from "../errors.ts";
import { featuresInMemory } from "../probe/head.ts";
import { seededRandom } from "../random.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { type AugmentationRecipe, lgmAugmentation } from "../synthetic/augment.ts";
import { type Augmenter, createAugmenter } from "../synthetic/augmenter.ts";
import type { TrainingFeatures } from "./protocol.ts";

/** Evaluation augmentation as LGM trains its head: flip and random resized crop, without noise. */
export const evaluationAugmentation: AugmentationRecipe = { ...lgmAugmentation, noiseProbability: 0 };

/**
 * Augmented draws that each image of a set has for each seed. LGM's recipe draws anew every epoch, 1,000
 * times; encoding that many is dear, so a fixed number is drawn and each epoch takes one of them at random
 * for each image.
 */
export const defaultDraws = 20;

/** Images that are augmented and encoded in one call. */
const batchImages = 16;
/** Seeds are kept apart from those of a distillation. */
const streamSeed = 0x5eed;

/** Turns images in memory into features of augmented draws. */
export interface FeatureAugmenter {
  /**
   * @param images m × 3 × size × size in [0, 1]
   * @param draws draws of each image; "each epoch" draws and encodes anew in every epoch, as LGM does
   */
  training(
    images: Float32Array,
    labels: Int32Array,
    seed: number,
    draws: number | "each epoch",
  ): TrainingFeatures;
  release(): Promise<void>;
}

/** Throws UsageError for an encoder whose input is not square. */
export async function createFeatureAugmenter(runtime: Runtime, encoder: Encoder): Promise<FeatureAugmenter> {
  const [size, width] = encoder.preprocessing.crop;
  if (size !== width) {
    throw new UsageError(
      `${encoder.provenance.id} takes ${size} × ${width} px; evaluation augmentation needs square images. ` +
        "Give --size, or --no-augmentation.",
    );
  }
  const recipe = evaluationAugmentation;
  const augmenter = await createAugmenter(runtime, recipe, streamSeed, batchImages, size, size);
  return {
    training: (images, labels, seed, draws) => drawnFeatures(augmenter, encoder, images, labels, seed, draws),
    release: () => augmenter.release(),
  };
}

function drawnFeatures(
  augmenter: Augmenter,
  encoder: Encoder,
  images: Float32Array,
  labels: Int32Array,
  seed: number,
  draws: number | "each epoch",
): TrainingFeatures {
  const m = labels.length;
  const d = encoder.featureSize;
  const kept = new Map<number, Float32Array>();
  const featuresOf = async (draw: number): Promise<Float32Array> => {
    const known = kept.get(draw);
    if (known !== undefined) return known;
    const features = await encodeDraw(augmenter, encoder, images, m, seed, draw);
    // A draw of its own for each epoch is not used again.
    if (draws === "each epoch") kept.clear();
    kept.set(draw, features);
    return features;
  };
  let chosenEpoch = -1;
  let chosen = new Int32Array(m);
  return {
    count: m,
    featureSize: d,
    labels,
    async rows(indices, out, epoch = 0) {
      if (epoch !== chosenEpoch) {
        const random = seededRandom(seed, `evaluation draws, epoch ${epoch}`);
        chosen = Int32Array.from({ length: m }, () => (draws === "each epoch" ? epoch : random.below(draws)));
        chosenEpoch = epoch;
      }
      for (const [i, image] of indices.entries()) {
        const features = await featuresOf(chosen[image]!);
        out.set(features.subarray(image * d, (image + 1) * d), i * d);
      }
    },
    async every() {
      const count = draws === "each epoch" ? defaultDraws : draws;
      const features = new Float32Array(count * m * d);
      for (let draw = 0; draw < count; draw++) features.set(await featuresOf(draw), draw * m * d);
      return { features, draws: count };
    },
  };
}

async function encodeDraw(
  augmenter: Augmenter,
  encoder: Encoder,
  images: Float32Array,
  m: number,
  seed: number,
  draw: number,
): Promise<Float32Array> {
  const d = encoder.featureSize;
  const pixels = images.length / m;
  const features = new Float32Array(m * d);
  for (let start = 0; start < m; start += batchImages) {
    const count = Math.min(batchImages, m - start);
    const batch = new Float32Array(batchImages * pixels);
    batch.set(images.subarray(start * pixels, (start + count) * pixels));
    const drawn = await augmenter.apply(batch, seed, draw, start / batchImages);
    features.set(await encoder.features(drawn.subarray(0, count * pixels), count), start * d);
  }
  return features;
}

/** Features of the images as they are. */
export function plainFeatures(features: Float32Array, labels: Int32Array): TrainingFeatures {
  return { ...featuresInMemory(features, labels), every: async () => ({ features, draws: 1 }) };
}
