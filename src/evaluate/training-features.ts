import { featuresInMemory, type LabeledFeatures } from "../probe/rows.ts";
import { seededRandom } from "../random.ts";

/** What a probe learns from: the features of a set's images for one seed. */
export interface TrainingFeatures extends LabeledFeatures {
  /** All features at once, for the closed form: those of every draw where there are several, draw by draw. */
  every(): Promise<{ readonly features: Float32Array; readonly draws: number }>;
  /** The same as plain data; absent where features are made anew in every epoch. */
  pooled?(): Promise<PooledFeatures>;
}

/** All features that a head may be trained on, as plain data, for whichever process trains it. */
export interface PooledFeatures {
  /** draws · m × d, draw by draw. */
  readonly features: Float32Array;
  /** m. */
  readonly labels: Int32Array;
  readonly draws: number;
  /** Of the numbers that say which draw of an image an epoch takes. */
  readonly seed: number;
}

/** Features of the images as they are. */
export function plainFeatures(features: Float32Array, labels: Int32Array): TrainingFeatures {
  return {
    ...featuresInMemory(features, labels),
    every: async () => ({ features, draws: 1 }),
    pooled: async () => ({ features, labels, draws: 1, seed: 0 }),
  };
}

/** What plain data were made of. */
export function unpooled({ features, labels, draws, seed }: PooledFeatures): LabeledFeatures {
  if (draws === 1 || labels.length === 0) return featuresInMemory(features, labels);
  const m = labels.length;
  const d = features.length / (draws * m);
  const chosen = drawsOfEpochs(seed, m, draws);
  return {
    count: m,
    featureSize: d,
    labels,
    async rows(indices, out, epoch = 0) {
      const draw = chosen(epoch);
      for (const [i, image] of indices.entries()) {
        const at = (draw[image] * m + image) * d;
        out.set(features.subarray(at, at + d), i * d);
      }
    },
  };
}

/** Which draw of each image an epoch takes: each epoch takes one at random. */
export function drawsOfEpochs(seed: number, images: number, draws: number): (epoch: number) => Int32Array {
  let latest = -1;
  let chosen = new Int32Array(images);
  return (epoch) => {
    if (epoch !== latest) {
      const random = seededRandom(seed, `evaluation draws, epoch ${epoch}`);
      chosen = Int32Array.from({ length: images }, () => random.below(draws));
      latest = epoch;
    }
    return chosen;
  };
}
