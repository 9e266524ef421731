import { resolve } from "node:path";
import { readArtifact } from "../artifact/read-artifact.ts";
import type { JobContext } from "../context.ts";
import { givenImages, nameOfInput } from "../data/given-images.ts";
import { InterruptedError, UsageError } from "../errors.ts";
import { encodedBatches } from "../features/encoded-batches.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { softmaxRows } from "../probe/probabilities.ts";
import type { Probe } from "../probe/probe.ts";
import { openSet } from "./open-set.ts";
import type { ClassifyParams } from "./params.ts";

/** A class that an image may be of. */
export interface RankedClass {
  readonly class: string;
  /** Of the probe. */
  readonly score: number;
  /** From 0 to 1; absent for sets of earlier versions, which record no temperature. */
  readonly probability?: number;
}

/** An image that was classified. */
export interface ClassifiedImage extends RankedClass {
  /** Its path, or "image 3" for one that was given without. */
  readonly image: string;
  /** Index of the class in the set's list. */
  readonly index: number;
  /**
   * Whether it may be of none of the classes: it is newer to the encoder and the probe than 95 % of the training images. Absent
   * for sets of earlier versions.
   */
  readonly unknown?: boolean;
  /** The next classes, the likeliest first. */
  readonly runnersUp: readonly RankedClass[];
}

/** An image that could not be read. */
export interface UnreadableImage {
  readonly image: string;
  readonly unreadable: string;
}

export type Classification = ClassifiedImage | UnreadableImage;

/** What the job gives back, image by image in the order given. */
export interface Classifications {
  readonly images: readonly Classification[];
  readonly classes: readonly string[];
  /** Names of the classes as folders. */
  readonly folders: readonly string[];
  /** Spent on reading, decoding and encoding images, without opening the encoder. */
  readonly seconds: number;
}

const batchSize = 32;

/**
 * Classifies images with a set's recorded probe and the encoder that it was made with: of several the first, or the one
 * that `encoder` names. Images are read, decoded and encoded as those of a data set are.
 * @throws UsageError without images; DataError for a folder that holds no set; ModelError when the encoder is another
 */
export async function classifyImages(params: ClassifyParams, context: JobContext): Promise<Classifications> {
  const { set, images, runnersUp = 2, ...options } = params;
  if (images.length === 0) throw new UsageError("No image was given. Give files, folders or patterns.");
  const artifact = await readArtifact(resolve(set));
  const { manifest } = artifact;
  const { probe, encoder } = await openSet(artifact, options, context);
  try {
    if (probe.calibration === undefined) {
      context.note(`${set} records no temperature: scores are given without probabilities.`);
    }
    const began = performance.now();
    const found: Classification[] = [];
    const stage = { stage: "Classifying", total: images.length, unit: "images" };
    context.progress({ ...stage, done: 0 });
    for await (const batch of encodedBatches(givenImages(images), "test", encoder, {
      indices: Int32Array.from(images, (_, i) => i),
      batchSize,
      maxBad: images.length,
      skipped: [],
    })) {
      if (context.signal.aborted) throw new InterruptedError("Stopped while classifying images.");
      const features = matrix(batch.indices.length, encoder.featureSize, Float64Array.from(batch.features));
      const ranked =
        batch.indices.length > 0 ? rankedImages(probe, features, manifest.classes, runnersUp) : [];
      for (const [i, index] of batch.indices.entries()) {
        found[index] = { image: nameOfInput(images[index], index), ...ranked[i] };
      }
      for (const { id, index, reason } of batch.bad) found[index] = { image: id, unreadable: reason };
      context.progress({ ...stage, done: Math.min(images.length, found.length) });
    }
    const seconds = (performance.now() - began) / 1000;
    return { images: found, classes: manifest.classes, folders: manifest.folders, seconds };
  } finally {
    await encoder.release();
  }
}

/** Classes of each row of features, the likeliest first; of equal scores the first. */
function rankedImages(
  probe: Probe,
  features: Matrix,
  classes: readonly string[],
  runnersUp: number,
): Omit<ClassifiedImage, "image">[] {
  const scores = probe.scores(features);
  const { calibration } = probe;
  const probabilities = calibration && softmaxRows(scores, calibration.temperature);
  const unknown = calibration && probe.unknown(features);
  return Array.from({ length: scores.rows }, (_, i) => {
    const at = i * scores.cols;
    const own = scores.data.subarray(at, at + scores.cols);
    const order = Array.from(own.keys()).sort((a, b) => own[b] - own[a] || a - b);
    const ranked = order.slice(0, 1 + runnersUp).map((c) => ({
      class: classes[c],
      score: own[c],
      ...(probabilities ? { probability: probabilities.data[at + c] } : {}),
    }));
    const [best, ...others] = ranked;
    return {
      ...best!,
      index: order[0],
      ...(unknown ? { unknown: unknown[i] } : {}),
      runnersUp: others,
    };
  });
}
