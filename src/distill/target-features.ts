import { ClassSums } from "../probe/class-sums.ts";
import { FeatureStatistics } from "../probe/feature-map.ts";
import { matrix } from "../probe/matrix.ts";
import { type FeatureRows, sequentialBatches } from "../probe/rows.ts";
import { adamBlock, adamStep } from "../synthetic/adam.ts";

/** Where the real features are: target features are kept there. */
export interface FeatureRange {
  /** Least and largest value of each feature over the real images (d). */
  readonly low: Float32Array;
  readonly high: Float32Array;
  /** Root mean square over the features of their deviation. */
  readonly scale: number;
}

/** What target features are chosen from. */
export interface TargetBasis {
  readonly range: FeatureRange;
  /** Where the first ones start: means of the `ipc` parts of each class (every ipc-th image of it), m × d in class order. */
  readonly start: Float32Array;
}

/** One pass over the real features. */
export async function targetBasis(real: FeatureRows, classes: number, ipc: number): Promise<TargetBasis> {
  const d = real.featureSize;
  const low = new Float32Array(d).fill(Number.POSITIVE_INFINITY);
  const high = new Float32Array(d).fill(Number.NEGATIVE_INFINITY);
  const statistics = new FeatureStatistics(d);
  const sums = new ClassSums(classes * ipc, d);
  const seen = new Int32Array(classes);
  for await (const { features, labels } of sequentialBatches(real)) {
    for (let at = 0; at < features.length; at += d) {
      for (let j = 0; j < d; j++) {
        low[j] = Math.min(low[j], features[at + j]);
        high[j] = Math.max(high[j], features[at + j]);
      }
    }
    statistics.add(features);
    const parts = labels.map((label) => label * ipc + (seen[label]++ % ipc));
    sums.add(matrix(labels.length, d, new Float64Array(features)), parts);
  }
  const variances = statistics.std().map((std) => std ** 2);
  const scale = Math.sqrt(variances.reduce((sum, v) => sum + v, 0) / d);
  return { range: { low, high, scale }, start: Float32Array.from(sums.means().data) };
}

/** Adam's learning rate, in deviations of the real features. */
const learningRate = 0.03;

/** Weight, beside the loss, of the mean squared distance from where a choice starts, in deviations. */
const stay = 0.25;

/**
 * Features that the objective likes better than `start`: some Adam steps on the features themselves, as if there were
 * no images, held near the start and within the range of the real ones. No encoder is asked, so a choice costs
 * little beside the steps on the images, which are then drawn towards it.
 *
 * @param start m × d; left as it is
 * @param gradientAt dL/dfeatures of the objective, on a new real batch at each call
 */
export async function chooseTargets(
  start: Float32Array,
  { low, high, scale }: FeatureRange,
  steps: number,
  gradientAt: (features: Float32Array) => Promise<Float32Array>,
): Promise<Float32Array> {
  const d = low.length;
  const block = adamBlock(start.slice());
  const { values } = block;
  clamp();
  const pull = (2 * stay) / (values.length * scale ** 2);
  for (let step = 0; step < steps; step++) {
    const gradient = await gradientAt(values);
    for (let i = 0; i < values.length; i++) gradient[i] += pull * (values[i] - start[i]);
    const share = (1 + Math.cos((Math.PI * step) / steps)) / 2;
    adamStep(block, gradient, 0, step + 1, learningRate * scale * share);
    clamp();
  }
  return values;

  function clamp(): void {
    for (let at = 0; at < values.length; at += d) {
      for (let j = 0; j < d; j++) values[at + j] = Math.min(high[j], Math.max(low[j], values[at + j]));
    }
  }
}

/**
 * Adds to `cotangents` the gradient of weight · mean ‖z − t‖² / mean ‖t‖² over the images; every draw of an image has
 * the image's target.
 * @param features draws · m × d; @param targets m × d
 */
export function addPull(
  cotangents: Float32Array,
  features: Float32Array,
  targets: Float32Array,
  weight: number,
): void {
  let squares = 0;
  for (const t of targets) squares += t * t;
  if (squares === 0) return;
  const draws = features.length / targets.length;
  const factor = (2 * weight) / (draws * squares);
  for (let i = 0; i < features.length; i++) {
    cotangents[i] += factor * (features[i] - targets[i % targets.length]);
  }
}
