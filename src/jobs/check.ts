import type { JobContext } from "../context.ts";
import { classCounts } from "../data/image-source.ts";
import { thumbnailsOf } from "../data/thumbnails.ts";
import { InterruptedError } from "../errors.ts";
import { checkLabels, confusedPairs } from "../evaluate/check-labels.ts";
import { checkHtml } from "../evaluate/check-page.ts";
import { pictureKey, shownCells, shownImages } from "../evaluate/check-pictures.ts";
import type { CheckedImage, DataCheck } from "../evaluate/data-check.ts";
import { duplicateSettings, findDuplicates } from "../evaluate/find-duplicates.ts";
import { openRunContext } from "../features/run-context.ts";
import type { Item } from "../images/types.ts";
import { evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import type { CheckParams } from "./params.ts";

/** Checks a data set by what the closed form knows of its features, before anything is distilled. */
export async function checkDataSet(params: CheckParams, context: JobContext): Promise<DataCheck> {
  const { found } = await describedCheck({ ...params, pictured: false }, context);
  return found;
}

/** The same, and with `pictured` the page that shows it. */
export async function describedCheck(
  params: CheckParams & { readonly pictured: boolean },
  context: JobContext,
): Promise<{ readonly found: DataCheck; readonly page?: string }> {
  const place = await openRunContext(params, context);
  try {
    const { source, train, test, gemm } = place;
    const names = source.classes;
    const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
    const indexOf = new Map<string, number>();
    let done = 0;
    const onPart = (detail: string) => {
      if (context.signal.aborted) throw new InterruptedError("Stopped while checking the data.");
      context.progress({ stage: "Checking", done: done++, total: 0, unit: "parts", detail });
    };
    const found = await checkLabels(train, names.length, map, gemm, onPart);
    const { weight, lambda } = found.ridge;
    const onTest = test && (await evaluateClosedForm({ weight, map, lambda }, test, gemm));
    onPart("near-duplicates");
    const placeOf = (row: number) => {
      const [split, rows, at] =
        row < train.count ? (["train", train, row] as const) : (["test", test!, row - train.count] as const);
      return { split, index: rows.imageIndices?.[at] ?? at, label: rows.labels[at] };
    };
    const itemOf = (row: number): Item => {
      const { split, index } = placeOf(row);
      return source.images(split).at(index);
    };
    const similarity = params.similarity ?? duplicateSettings.similarity;
    const searched = { sources: [train, ...(test ? [test] : [])], map, itemOf };
    const pairs = await findDuplicates(searched, gemm, context, { ...duplicateSettings, similarity });

    const imageAt = (row: number): CheckedImage => {
      const { split, index, label } = placeOf(row);
      const image = { split, image: itemOf(row).id, class: names[label] };
      indexOf.set(pictureKey(image), index);
      return image;
    };
    const counts = { train: classCounts(source, "train"), test: test && classCounts(source, "test") };
    const result: DataCheck = {
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
      duplicates: pairs.map(({ first, second, ...found }) => ({
        first: imageAt(first),
        second: imageAt(second),
        ...found,
        leak: first < train.count !== second < train.count,
      })),
      outliers: found.outliers.map(({ row, leverage }) => ({ ...imageAt(row), leverage })),
      confused: confusedPairs(found.confusion).map(({ classes: [a, b], share }) => ({
        classes: [names[a], names[b]] as const,
        share,
      })),
    };
    if (!params.pictured) return { found: result };
    const cells = shownCells(result, { labels: train.labels, ...found }, imageAt);
    const wanted = shownImages(result, cells).map((image) => {
      const key = pictureKey(image);
      return { split: image.split, index: indexOf.get(key)!, key };
    });
    const stage = { stage: "Thumbnails", total: wanted.length, unit: "images" };
    const thumbnails = await thumbnailsOf(source, wanted, (done) => {
      if (context.signal.aborted) throw new InterruptedError("Stopped while drawing the page.");
      context.progress({ ...stage, done });
    });
    return { found: result, page: checkHtml(result, { cells, thumbnails }) };
  } finally {
    await place.release();
  }
}
