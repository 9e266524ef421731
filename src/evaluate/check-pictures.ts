import type { CheckedImage, DataCheck, DuplicatePair } from "./data-check.ts";

/** Findings of each kind that a page shows. */
export const shownFindings = { suspects: 60, pairs: 40, outliers: 24, confused: 12, confusions: 18 } as const;
/** A confusion matrix of more classes is shown as a list of its largest entries. */
export const mostMatrixClasses = 24;
/** Up to so many classes, a cell of the matrix shows four images, else one. */
const fewClasses = 8;
/** Images shown for a confusion in the list, and for each of two classes that are not told apart. */
const perConfusion = 4;

/** Training images by label and prediction, as row numbers. */
export interface Predictions {
  readonly labels: Int32Array;
  readonly predicted: Int32Array;
  /** Score of what was predicted. */
  readonly confidence: Float64Array;
}

/** An entry of the confusion matrix with images that are in it, the surest first. */
export interface ConfusionCell {
  readonly label: number;
  readonly predicted: number;
  readonly count: number;
  readonly images: readonly CheckedImage[];
}

/** The entries of a confusion matrix that a page shows: all of few classes, the largest off the diagonal of many. */
export function shownCells(
  { confusion }: Pick<DataCheck, "confusion">,
  predictions: Predictions,
  imageAt: (row: number) => CheckedImage,
): ConfusionCell[] {
  const classes = confusion.length;
  const all = confusion.flatMap((row, label) =>
    row.map((count, predicted) => ({ label, predicted, count })).filter(({ count }) => count > 0),
  );
  const matrix = classes <= mostMatrixClasses;
  const shown = matrix
    ? all
    : all
        .filter(({ label, predicted }) => label !== predicted)
        .sort((a, b) => b.count - a.count)
        .slice(0, shownFindings.confusions);
  const most = !matrix || classes <= fewClasses ? perConfusion : 1;
  const rows = new Map(shown.map(({ label, predicted }) => [label * classes + predicted, [] as number[]]));
  for (const [row, label] of predictions.labels.entries()) {
    rows.get(label * classes + predictions.predicted[row])?.push(row);
  }
  const sure = (row: number): number => predictions.confidence[row];
  return shown.map((cell) => {
    const own = rows.get(cell.label * classes + cell.predicted)!.sort((a, b) => sure(b) - sure(a));
    return { ...cell, images: own.slice(0, most).map(imageAt) };
  });
}

/** A name by which an image's thumbnail is found. */
export const pictureKey = ({ split, image }: CheckedImage): string => `${split}/${image}`;

/** Images that are nearly the same, each with another of them. */
export interface DuplicateGroup {
  readonly images: readonly CheckedImage[];
  /** The first of its pairs. */
  readonly best: DuplicatePair;
}

/** What a page shows of near-duplicates: the leaks as pairs, the other pairs joined into groups. */
export interface ShownDuplicates {
  readonly leaks: readonly DuplicatePair[];
  readonly groups: readonly DuplicateGroup[];
  /** Groups in all. */
  readonly groupCount: number;
}

/** Leaks first, as many as there is room for, then the groups in the order of their first pairs. */
export function shownDuplicates(pairs: DataCheck["duplicates"]): ShownDuplicates {
  const leaks = pairs.filter(({ leak }) => leak).slice(0, shownFindings.pairs);
  const groupOf = new Map<string, { images: Map<string, CheckedImage>; at: number }>();
  for (const [at, { first, second, leak }] of pairs.entries()) {
    if (leak) continue;
    const [a, b] = [first, second].map((image) => groupOf.get(pictureKey(image)));
    const joined = a ?? b ?? { images: new Map<string, CheckedImage>(), at };
    for (const image of [first, second, ...(a && b && a !== b ? b.images.values() : [])]) {
      joined.images.set(pictureKey(image), image);
      groupOf.set(pictureKey(image), joined);
    }
    joined.at = Math.min(joined.at, b?.at ?? at);
  }
  const groups = [...new Set(groupOf.values())]
    .sort((a, b) => a.at - b.at)
    .map(({ images, at }) => ({ images: [...images.values()], best: pairs[at] }));
  const room = shownFindings.pairs - leaks.length;
  return { leaks, groups: groups.slice(0, room), groupCount: groups.length };
}

/** Images shown of a group of near-duplicates. */
export const perGroup = 4;

/** The images that a page shows, the most telling first; each once. */
export function shownImages(
  { suspects, duplicates, outliers }: DataCheck,
  cells: readonly ConfusionCell[],
): CheckedImage[] {
  const { leaks, groups } = shownDuplicates(duplicates);
  const all = [
    ...suspects.slice(0, shownFindings.suspects),
    ...leaks.flatMap(({ first, second }) => [first, second]),
    ...outliers.slice(0, shownFindings.outliers),
    ...cells.flatMap(({ images }) => images),
    ...groups.flatMap(({ images }) => images.slice(0, perGroup)),
  ];
  return [...new Map(all.map((image) => [pictureKey(image), image])).values()];
}
