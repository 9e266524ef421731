import type { Encoder } from "../encoder/encoder.ts";
import { UsageError } from "../errors.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { LabeledFeatures } from "../probe/rows.ts";
import { geometricAugmentation } from "../synthetic/augment.ts";
import { type Augmenter, createAugmenter } from "../synthetic/augmenter.ts";
import { type TrainingFeatures, unpooled } from "./training-features.ts";

/**
 * Augmented draws that each image of a set has for each seed. LGM's recipe draws anew every epoch, 1,000
 * times; encoding that many is expensive, so a fixed number is drawn and each epoch takes one of them at random
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

/** Features of `count` draws of all m images from draw `first` on, draw by draw: count · m × d. */
export type EncodeDraws = (
  images: Float32Array,
  m: number,
  seed: number,
  first: number,
  count: number,
) => Promise<Float32Array>;

/**
 * Throws UsageError for an encoder whose input is not square.
 * @param encode where the draws are encoded, if not by `encoder` in this process
 */
export async function createFeatureAugmenter(
  runtime: Runtime,
  encoder: Encoder,
  encode?: EncodeDraws,
): Promise<FeatureAugmenter> {
  const [size, width] = encoder.preprocessing.crop;
  if (size !== width) {
    throw new UsageError(
      `${encoder.provenance.id} takes ${size} × ${width} px; evaluation augmentation needs square images. ` +
        "Give another `size`, or `augmentation: 'off'`.",
    );
  }
  const { featureSize } = encoder;
  const own = encode === undefined ? await createDrawer(runtime, size) : undefined;
  const here: EncodeDraws = (images, m, seed, first, count) =>
    own!.encode({ images, m, seed, first, from: 0, to: count * m }, featureSize, (batch, filled) =>
      encoder.features(batch, filled),
    );
  return {
    training: (images, labels, seed, draws) =>
      drawnFeatures(encode ?? here, featureSize, images, labels, seed, draws),
    release: async () => own?.release(),
  };
}

/** Some of the draws of m images: draw by draw they are a sequence, in which these have the places `from` to `to`. */
export interface DrawRange {
  /** All m images where the range is of whole draws; else those of the range. */
  readonly images: Float32Array;
  readonly m: number;
  readonly seed: number;
  /** The first draw of the sequence. */
  readonly first: number;
  readonly from: number;
  readonly to: number;
}

/** Augments and encodes ranges of draws. */
export interface Drawer {
  /** Features, (to − from) × d. */
  encode(
    range: DrawRange,
    featureSize: number,
    featuresOf: (images: Float32Array, count: number) => Promise<Float32Array>,
  ): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Draws as LGM trains its head: flip and random resized crop, without noise, of images of `size` px. */
export async function createDrawer(runtime: Runtime, size: number): Promise<Drawer> {
  const augmenter: Augmenter = await createAugmenter(
    ...([runtime, geometricAugmentation, streamSeed, batchImages, size, size] as const),
  );
  const pixels = 3 * size * size;
  return {
    async encode({ images, m, seed, first, from, to }, d, featuresOf) {
      const offset = images.length === m * pixels ? 0 : from % m;
      const features = new Float32Array((to - from) * d);
      // Draws of few images fill a batch together.
      for (let start = from; start < to; start += batchImages) {
        const filled = Math.min(batchImages, to - start);
        const batch = new Float32Array(batchImages * pixels);
        for (let i = 0; i < filled; i++) {
          const image = ((start + i) % m) - offset;
          batch.set(images.subarray(image * pixels, (image + 1) * pixels), i * pixels);
        }
        const drawn = await augmenter.apply(batch, seed, first, start);
        features.set(await featuresOf(drawn.subarray(0, filled * pixels), filled), (start - from) * d);
      }
      return features;
    },
    release: () => augmenter.release(),
  };
}

function drawnFeatures(
  encode: EncodeDraws,
  d: number,
  images: Float32Array,
  labels: Int32Array,
  seed: number,
  draws: number | "each epoch",
): TrainingFeatures {
  const m = labels.length;
  let all: Promise<Float32Array> | undefined;
  const every = async (count: number) => {
    all ??= encode(images, m, seed, 0, count);
    return { features: await all, draws: count };
  };
  const shape = { count: m, featureSize: d, labels };
  if (draws !== "each epoch") {
    const pooled = async () => ({ ...(await every(draws)), labels, seed });
    let drawn: Promise<LabeledFeatures> | undefined;
    return {
      ...shape,
      pooled,
      every: () => every(draws),
      async rows(indices, out, epoch) {
        drawn ??= pooled().then(unpooled);
        await (await drawn).rows(indices, out, epoch);
      },
    };
  }
  // An epoch's own draw is not used again.
  let latest: { readonly epoch: number; readonly features: Float32Array } | undefined;
  return {
    ...shape,
    every: () => every(defaultDraws),
    async rows(indices, out, epoch = 0) {
      if (latest?.epoch !== epoch) latest = { epoch, features: await encode(images, m, seed, epoch, 1) };
      for (const [i, image] of indices.entries())
        out.set(latest.features.subarray(image * d, (image + 1) * d), i * d);
    },
  };
}
