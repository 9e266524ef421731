import { NumericalError } from "../errors.ts";
import { formatMany, formatPercent } from "../format.ts";
import { subsetOf } from "../probe/class-rows.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFullData } from "../probe/full-data.ts";
import type { Gemm } from "../probe/gemm.ts";
import type { FeatureRows } from "../probe/rows.ts";
import { splitOf } from "../probe/split.ts";
import { seededRandom } from "../random.ts";

/** Real images that are mirrored, and rows that the probe is fitted on, at most. */
const mostMirrored = 256;
const mostFitted = 20_000;

/** How a probe of real images classifies held-out ones as they are and mirrored; accuracies are fractions. */
export interface MirrorTest {
  readonly images: number;
  readonly asTheyAre: number;
  readonly mirrored: number;
  /** Whether mirrored images keep their class: the loss is no more than a tenth, or than two standard errors. */
  readonly keeps: boolean;
}

/** What a mirror test is of. */
export interface MirrorTestInputs {
  readonly train: FeatureRows;
  readonly classes: number;
  readonly map: FeatureMap;
  readonly gemm: Gemm;
  /** Features of some training images, mirrored: rows × d. */
  mirroredFeatures(rows: Int32Array): Promise<Float32Array>;
}

/**
 * Finds out from training images alone whether mirrored images keep their class: letters, digits and maps do not. The
 * closed form of nine tenths of them classifies some of the others, as they are and mirrored. Undefined for features on
 * which no probe can be solved, such as zeros: what is wrong with them is said where they are distilled.
 */
export async function mirrorTest({
  train,
  classes,
  map,
  gemm,
  mirroredFeatures,
}: MirrorTestInputs): Promise<MirrorTest | undefined> {
  const { fit, held } = splitOf(train.labels, 10, "mirrored images");
  const fitted = await subsetOf(train, sampled(fit, mostFitted));
  const rows = Int32Array.from(sampled(held, mostMirrored));
  const solved = await fitFullData(fitted, classes, map, gemm).catch((error: unknown) => {
    if (error instanceof NumericalError) return undefined;
    throw error;
  });
  if (solved === undefined) return undefined;
  const { weight } = solved;
  const right = async (features: Float32Array): Promise<boolean[]> => {
    const { data, cols } = await gemm.multiply(map.apply(features, rows.length).values, weight);
    return Array.from(rows, (row, i) => {
      const scores = data.subarray(i * cols, (i + 1) * cols);
      return scores.indexOf(Math.max(...scores)) === train.labels[row];
    });
  };
  const features = new Float32Array(rows.length * train.featureSize);
  await train.rows(rows, features);
  const asTheyAre = await right(features);
  return judged(asTheyAre, await right(await mirroredFeatures(rows)));
}

/** What a run says of the test. */
export function mirrorNote({ images, asTheyAre, mirrored, keeps }: MirrorTest): string {
  return (
    `Mirrored, ${formatPercent(mirrored)} of ${formatMany(images, "real training image")} are classified correctly, as they ` +
    `are ${formatPercent(asTheyAre)}: ${keeps ? "mirrored images keep their class" : "mirrored images do not keep their class, and nothing is mirrored"}.`
  );
}

/** @param asTheyAre whether each image is classified correctly as it is, and `mirrored` whether it is mirrored */
export function judged(asTheyAre: readonly boolean[], mirrored: readonly boolean[]): MirrorTest {
  const images = asTheyAre.length;
  const share = (right: readonly boolean[]) => right.filter(Boolean).length / images;
  const differing = asTheyAre.filter((right, i) => right !== mirrored[i]).length;
  const loss = share(asTheyAre) - share(mirrored);
  // The standard error of the difference of two shares of the same images.
  const tolerated = Math.max(share(asTheyAre) / 10, (2 * Math.sqrt(differing)) / images);
  return { images, asTheyAre: share(asTheyAre), mirrored: share(mirrored), keeps: loss <= tolerated };
}

/** At most `most` of the rows, drawn at random, in order. */
function sampled(rows: readonly number[], most: number): number[] {
  if (rows.length <= most) return [...rows];
  const random = seededRandom(0, "sample for mirroring");
  const left = [...rows];
  for (let i = 0; i < most; i++) {
    const j = i + random.below(left.length - i);
    [left[i], left[j]] = [left[j], left[i]];
  }
  return left.slice(0, most).sort((a, b) => a - b);
}
