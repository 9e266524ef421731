import { pickImages } from "../data/pick.ts";
import type { RunContext } from "../features/run-context.ts";
import { edits, mirroredName } from "../images/edits.ts";
import { subsetOf } from "../probe/class-rows.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFullData } from "../probe/full-data.ts";
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

/**
 * Finds out from training images alone whether mirrored images keep their class: letters, digits and maps do not. The
 * closed form of nine tenths of them classifies some of the others, as they are and mirrored.
 */
export async function testMirror(
  { source, encoder, train, gemm }: Pick<RunContext, "source" | "encoder" | "train" | "gemm">,
  map: FeatureMap,
): Promise<MirrorTest> {
  const { fit, held } = splitOf(train.labels, 10, "mirrored images");
  const fitted = await subsetOf(train, sampled(fit, mostFitted));
  const rows = Int32Array.from(sampled(held, mostMirrored));
  const { weight } = await fitFullData(fitted, source.classes.length, map, gemm);
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
  const mirrored = await right(await mirroredFeatures(source, encoder, rows, train.imageIndices));
  return judged(asTheyAre, mirrored);
}

/** @param asTheyAre whether each image is classified rightly as it is, and `mirrored` whether it is mirrored */
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
    [left[i], left[j]] = [left[j]!, left[i]!];
  }
  return left.slice(0, most).sort((a, b) => a - b);
}

/** Images that are decoded at a time. */
const batchImages = 32;

async function mirroredFeatures(
  source: RunContext["source"],
  encoder: RunContext["encoder"],
  rows: Int32Array,
  imageIndices: Int32Array | undefined,
): Promise<Float32Array> {
  const mirror = edits.find(({ name }) => name === mirroredName)!;
  const d = encoder.featureSize;
  const out = new Float32Array(rows.length * d);
  for (let start = 0; start < rows.length; start += batchImages) {
    const indices = rows.slice(start, start + batchImages).map((row) => imageIndices?.[row] ?? row);
    const images = await pickImages(source, "train", indices, encoder.preprocessing);
    const mirrored = await mirror.apply(images, encoder.preprocessing.crop[0], start);
    out.set(await encoder.features(mirrored, indices.length), start * d);
  }
  return out;
}
