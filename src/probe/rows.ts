import type { Random } from "../random.ts";

/** Labeled features, read by rows: in memory, or from a cache that is never held whole. */
export interface LabeledFeatures {
  readonly count: number;
  readonly featureSize: number;
  /** Class index of each row. */
  readonly labels: Int32Array;
  /**
   * Writes the features of `indices` to `out` (indices.length × d). `epoch` counts from 0 while training, so
   * that features can be made anew each epoch (evaluation augmentation).
   */
  rows(indices: Int32Array, out: Float32Array, epoch?: number): Promise<void>;
}

/** Features in memory (n × d, row-major) with their labels (n). */
export function featuresInMemory(features: Float32Array, labels: Int32Array): LabeledFeatures {
  const count = labels.length;
  const d = features.length / count;
  if (!Number.isInteger(d)) {
    throw new RangeError(`${features.length} numbers are not features of ${count} images`);
  }
  return {
    count,
    featureSize: d,
    labels,
    async rows(indices, out) {
      for (let i = 0; i < indices.length; i++) {
        out.set(features.subarray(indices[i] * d, (indices[i] + 1) * d), i * d);
      }
    },
  };
}

/** Features of real images, n × d, read by index; nothing assumes that they fit in memory. */
export interface FeatureRows extends LabeledFeatures {
  /** Index in its split of the image behind each row; absent where row i is image i. */
  readonly imageIndices?: Int32Array;
  /** Group of each row, where the data set has groups. */
  readonly groups?: Int32Array;
  /** Begins to read rows that will be asked for, where they are on a disk; the caller does not wait. */
  readAhead?(indices: Int32Array): void;
}

/** Features in memory drawn from N(0, 1), count × d, their classes in turn: real ones in measurements of time. */
export function randomFeatures(
  random: Random,
  count: number,
  featureSize: number,
  classes: number,
): FeatureRows {
  const features = Float32Array.from({ length: count * featureSize }, () => random.normal());
  return featuresInMemory(
    features,
    Int32Array.from({ length: count }, (_, i) => i % classes),
  );
}

/** All rows in order, some thousands at a time: `features` is count × d and reused by the next batch. */
export async function* sequentialBatches(
  source: FeatureRows,
  options: { readonly indices?: Int32Array; readonly batchSize?: number } = {},
): AsyncGenerator<{ features: Float32Array; labels: Int32Array; indices: Int32Array }> {
  const { batchSize = 4096 } = options;
  const total = options.indices?.length ?? source.count;
  const buffer = new Float32Array(Math.min(batchSize, total) * source.featureSize);
  for (let start = 0; start < total; start += batchSize) {
    const count = Math.min(batchSize, total - start);
    const indices =
      options.indices?.subarray(start, start + count) ??
      Int32Array.from({ length: count }, (_, i) => start + i);
    const features = buffer.subarray(0, count * source.featureSize);
    await source.rows(indices, features);
    yield { features, labels: Int32Array.from(indices, (i) => source.labels[i]), indices };
  }
}
