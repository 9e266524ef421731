import type { Encoder } from "../encoder/encoder.ts";
import { UsageError } from "../errors.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { featuresInMemory } from "../probe/rows.ts";
import { seededRandom } from "../random.ts";
import { geometricAugmentation } from "../synthetic/augment.ts";
import { type Augmenter, createAugmenter } from "../synthetic/augmenter.ts";
import type { TrainingFeatures } from "./protocol.ts";

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
        "Give another `size`, or `augmentation: 'off'`.",
    );
  }
  // As LGM trains its head: flip and random resized crop, without noise.
  const augmenter = await createAugmenter(
    runtime,
    geometricAugmentation,
    streamSeed,
    batchImages,
    size,
    size,
  );
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
  let pool: Promise<Float32Array> | undefined;
  let latest: { readonly epoch: number; readonly features: Float32Array } | undefined;
  const every = (count: number) => {
    pool ??= encodeDraws(augmenter, encoder, images, m, seed, 0, count);
    return pool;
  };
  /** Features m × d of a draw. */
  const featuresOf = async (draw: number): Promise<Float32Array> => {
    if (draws !== "each epoch") return (await every(draws)).subarray(draw * m * d, (draw + 1) * m * d);
    // An epoch's own draw is not used again.
    if (latest?.epoch !== draw) {
      latest = { epoch: draw, features: await encodeDraws(augmenter, encoder, images, m, seed, draw, 1) };
    }
    return latest.features;
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
        const features = await featuresOf(chosen[image]);
        out.set(features.subarray(image * d, (image + 1) * d), i * d);
      }
    },
    async every() {
      const count = draws === "each epoch" ? defaultDraws : draws;
      return { features: await every(count), draws: count };
    },
  };
}

/** Features of `count` draws of all images from draw `first` on, draw by draw: count · m × d. */
async function encodeDraws(
  augmenter: Augmenter,
  encoder: Encoder,
  images: Float32Array,
  m: number,
  seed: number,
  first: number,
  count: number,
): Promise<Float32Array> {
  const d = encoder.featureSize;
  const pixels = images.length / m;
  const total = count * m;
  const features = new Float32Array(total * d);
  // Draws of few images fill a batch together.
  for (let start = 0; start < total; start += batchImages) {
    const filled = Math.min(batchImages, total - start);
    const batch = new Float32Array(batchImages * pixels);
    for (let i = 0; i < filled; i++) {
      const image = (start + i) % m;
      batch.set(images.subarray(image * pixels, (image + 1) * pixels), i * pixels);
    }
    const drawn = await augmenter.apply(batch, seed, first, start);
    features.set(await encoder.features(drawn.subarray(0, filled * pixels), filled), start * d);
  }
  return features;
}

/** Features of the images as they are. */
export function plainFeatures(features: Float32Array, labels: Int32Array): TrainingFeatures {
  return { ...featuresInMemory(features, labels), every: async () => ({ features, draws: 1 }) };
}
