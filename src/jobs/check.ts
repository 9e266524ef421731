import type { JobContext } from "../context.ts";
import { classCounts, type Split } from "../data/image-source.ts";
import { InterruptedError } from "../errors.ts";
import { checkLabels, confusedPairs } from "../evaluate/check-labels.ts";
import { openRunContext } from "../features/run-context.ts";
import { evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { similarPairs } from "../probe/near-duplicates.ts";
import type { CheckParams } from "./params.ts";

/** An image of the data set. */
export interface CheckedImage {
  readonly split: Split;
  /** Its name in the split: for a folder, its path there. */
  readonly image: string;
  readonly class: string;
}

/** What `clp-dd check` finds out about a data set. Accuracies and probabilities are from 0 to 1. */
export interface DataCheck {
  readonly data: string;
  readonly encoder: string;
  readonly classes: readonly {
    readonly name: string;
    readonly train: number;
    readonly test?: number;
    /** Leave-one-out; null for a class without a readable image. */
    readonly accuracy: number | null;
  }[];
  /** Leave-one-out accuracy of the full-data probe on the training images, and its λ. */
  readonly accuracy: number;
  readonly lambda: number;
  /** Of the same probe on the test images, where there are some. */
  readonly testAccuracy?: number;
  /** confusion[class][prediction] of the training images, leave-one-out. */
  readonly confusion: readonly (readonly number[])[];
  /** Training images that another class fits better than their label, the surest first. */
  readonly suspects: readonly (CheckedImage & {
    readonly suggested: string;
    readonly labelProbability: number;
    readonly suggestedProbability: number;
    /** Whether the class suggested is as probable as for the mean image that is labeled with it. */
    readonly confident: boolean;
  })[];
  /** Images that are nearly the same, the most similar first; a leak is one of train with one of test. */
  readonly duplicates: readonly {
    readonly first: CheckedImage;
    readonly second: CheckedImage;
    readonly similarity: number;
    readonly leak: boolean;
  }[];
  /** Training images unlike all others, the farthest first. */
  readonly outliers: readonly (CheckedImage & { readonly leverage: number })[];
  /** Classes that the encoder cannot separate. */
  readonly confused: readonly { readonly classes: readonly [string, string]; readonly share: number }[];
}

/** Cosine of standardized features from which two images are nearly the same. */
const defaultSimilarity = 0.95;

/** Checks a data set by what the closed form knows of its features, before anything is distilled. */
export async function checkDataSet(params: CheckParams, context: JobContext): Promise<DataCheck> {
  const place = await openRunContext(params, context);
  try {
    const { source, train, test, gemm } = place;
    const names = source.classes;
    const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
    let done = 0;
    const onPart = (detail: string) => {
      if (context.signal.aborted) throw new InterruptedError("Stopped while checking the data.");
      context.progress({ stage: "Checking", done: done++, total: 0, unit: "parts", detail });
    };
    const found = await checkLabels(train, names.length, map, gemm, onPart);
    const { weight, lambda } = found.ridge;
    const onTest = test && (await evaluateClosedForm({ weight, map, lambda }, test, gemm));
    onPart("near-duplicates");
    const pairs = await similarPairs(
      [train, ...(test ? [test] : [])],
      map,
      params.similarity ?? defaultSimilarity,
      gemm,
    );

    const imageAt = (row: number): CheckedImage => {
      const [split, rows, at] =
        row < train.count ? (["train", train, row] as const) : (["test", test!, row - train.count] as const);
      const { id } = source.images(split).at(rows.imageIndices?.[at] ?? at);
      return { split, image: id, class: names[rows.labels[at]!] };
    };
    const counts = { train: classCounts(source, "train"), test: test && classCounts(source, "test") };
    return {
      data: source.name,
      encoder: params.encoder,
      classes: names.map((name, c) => {
        const row = found.confusion[c];
        const all = row.reduce((sum, n) => sum + n, 0);
        return {
          name,
          train: counts.train[c],
          ...(counts.test ? { test: counts.test[c] } : {}),
          accuracy: all === 0 ? null : row[c] / all,
        };
      }),
      accuracy: found.accuracy,
      lambda,
      confusion: found.confusion,
      ...(onTest ? { testAccuracy: onTest.top1 } : {}),
      suspects: found.suspects.map(({ row, label: _, suggested, ...rest }) => ({
        ...imageAt(row),
        suggested: names[suggested],
        ...rest,
      })),
      duplicates: pairs.map(({ first, second, similarity }) => ({
        first: imageAt(first),
        second: imageAt(second),
        similarity,
        leak: first < train.count !== second < train.count,
      })),
      outliers: found.outliers.map(({ row, leverage }) => ({ ...imageAt(row), leverage })),
      confused: confusedPairs(found.confusion).map(({ classes: [a, b], share }) => ({
        classes: [names[a], names[b]] as const,
        share,
      })),
    };
  } finally {
    await place.release();
  }
}
