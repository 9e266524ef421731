import { DataError } from "../errors.ts";
import { type Matrix, matrix } from "./matrix.ts";

/**
 * Labels as the closed form uses them: n × classes, one-hot minus 1/classes.
 * Throws DataError for a label that is not a class index.
 */
export function centeredOneHot(labels: ArrayLike<number>, classes: number): Matrix {
  const out = matrix(labels.length, classes);
  out.data.fill(-1 / classes);
  for (let i = 0; i < labels.length; i++) {
    requireLabel(labels[i], i, classes);
    out.data[i * classes + labels[i]!] += 1;
  }
  return out;
}

/** Throws DataError unless `label` (of row `row`) is an integer from 0 to classes − 1. */
export function requireLabel(label: number, row: number, classes: number): void {
  if (label >= 0 && label < classes && Number.isInteger(label)) return;
  throw new DataError(
    `the label of row ${row} is ${label}; class indices from 0 to ${classes - 1} were expected. ` +
      "Check that features and labels come from the same data set and list of classes.",
  );
}

/** The column of each row's largest element; the first one where several are equal. */
export function argmaxRows(scores: Matrix): Int32Array {
  const { rows, cols, data } = scores;
  const out = new Int32Array(rows);
  for (let i = 0; i < rows; i++) {
    let best = i * cols;
    for (let j = best + 1; j < (i + 1) * cols; j++) if (data[j] > data[best]) best = j;
    out[i] = best - i * cols;
  }
  return out;
}

/** The share of rows whose largest score is at their label: a number from 0 to 1. */
export function accuracyOf(scores: Matrix, labels: ArrayLike<number>): number {
  const predicted = argmaxRows(scores);
  let right = 0;
  for (let i = 0; i < predicted.length; i++) if (predicted[i] === labels[i]) right++;
  return right / predicted.length;
}
