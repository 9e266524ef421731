import { fitTemperature } from "../probe/calibration.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fullDataLambdas } from "../probe/full-data.ts";
import type { Gemm } from "../probe/gemm.ts";
import { kernelLeftOutRows } from "../probe/kernel-left-out.ts";
import { argmaxRows } from "../probe/labels.ts";
import { accumulated, type FactoredRidge, leftOutRows } from "../probe/leave-one-out.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { bestOfRows, softmaxRows } from "../probe/probabilities.ts";
import type { FeatureRows } from "../probe/rows.ts";

/** A row whose label the probe of all other rows contradicts. */
export interface SuspectedLabel {
  readonly row: number;
  readonly label: number;
  readonly suggested: number;
  /** Leave-one-out probabilities of both. */
  readonly labelProbability: number;
  readonly suggestedProbability: number;
  /** Whether the class suggested is as probable as for the mean image that is labeled with it (Northcutt et al. 2021). */
  readonly confident: boolean;
}

/** A row that is unlike the others. */
export interface Outlier {
  readonly row: number;
  readonly leverage: number;
}

/** What predictions of labeled rows by probes that have not seen them show. */
export interface JudgedLabels {
  /** Leave-one-out accuracy of the ridge probe of all rows, a fraction. */
  readonly accuracy: number;
  readonly temperature: number;
  /** confusion[label][prediction]: numbers of rows. */
  readonly confusion: readonly (readonly number[])[];
  /** The least probable label first. */
  readonly suspects: readonly SuspectedLabel[];
}

/** What leave-one-out predictions of a data set show. */
export interface LabelCheck extends Omit<JudgedLabels, "temperature"> {
  /** Class that each row gets from the ridge probe of all others, and its score there. */
  readonly predicted: Int32Array;
  readonly confidence: Float64Array;
  readonly lambda: number;
  /** The farthest first. */
  readonly outliers: readonly Outlier[];
  /** The probe of all rows. */
  readonly ridge: FactoredRidge;
}

/** Rows that λ is chosen on, each scored by the probe of all others. */
const lambdaRows = 2000;
/** Scaled median absolute deviations above the median from which a leverage is an outlier's. */
const outlierDeviations = 5;

/**
 * Checks the labels of a data set by leave-one-out predictions of all its rows: λ, accuracy, confusion and outliers by the ridge
 * probe; labels are suspected by a kernel probe, which sees small groups of images too, ranked by the probability of the label.
 */
export async function checkLabels(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
  onPart: (part: string) => void = () => undefined,
): Promise<LabelCheck> {
  onPart("solving");
  const ridge = await bestRidge(train, classes, map, gemm, onPart);
  onPart("scoring");
  const { labels } = train;
  const predicted = new Int32Array(train.count);
  const leverages = new Float64Array(train.count);
  const confidence = new Float64Array(train.count);
  for await (const batch of leftOutRows(ridge, train, map, gemm)) {
    predicted.set(argmaxRows(batch.scores), batch.indices[0]);
    confidence.set(bestOfRows(batch.scores), batch.indices[0]);
    leverages.set(batch.leverages, batch.indices[0]);
  }
  onPart("suspecting labels");
  return {
    ...agreement(labels, predicted, classes),
    lambda: ridge.lambda,
    ridge,
    predicted,
    confidence,
    suspects: judgedLabels(await kernelScores(train, classes, map, gemm), labels).suspects,
    outliers: outliersOf(leverages),
  };
}

/** The ridge of the λ of the highest leave-one-out accuracy, found uphill from 1; of equally good ones the largest. */
async function bestRidge(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
  onPart: (part: string) => void,
): Promise<FactoredRidge> {
  const sums = await accumulated(train, classes, map, gemm);
  const every = Math.max(1, Math.ceil(train.count / lambdaRows));
  const some = Int32Array.from({ length: Math.ceil(train.count / every) }, (_, i) => i * every);
  const tried = async (at: number) => {
    onPart(`λ = ${fullDataLambdas[at]}`);
    const ridge = await sums.factor(fullDataLambdas[at]);
    let right = 0;
    for await (const { scores, labels } of leftOutRows(ridge, train, map, gemm, some)) {
      const predicted = argmaxRows(scores);
      for (const [i, label] of labels.entries()) if (predicted[i] === label) right++;
    }
    return { ridge, right };
  };
  const start = fullDataLambdas.indexOf(1);
  let best = await tried(start);
  let at = start;
  for (let up = at + 1; up < fullDataLambdas.length; up++) {
    const next = await tried(up);
    if (next.right < best.right) break;
    [best, at] = [next, up];
  }
  for (let down = at - 1; at === start && down >= 0; down--) {
    const next = await tried(down);
    if (next.right <= best.right) break;
    best = next;
  }
  return best.ridge;
}

/** How far labels and predictions agree. */
function agreement(
  labels: Int32Array,
  predicted: Int32Array,
  classes: number,
): Pick<JudgedLabels, "accuracy" | "confusion"> {
  const confusion = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  for (const [row, label] of labels.entries()) confusion[label][predicted[row]]!++;
  const right = confusion.reduce((sum, row, c) => sum + row[c], 0);
  return { accuracy: right / labels.length, confusion };
}

/** Leave-one-out scores by a kernel probe, n × C. */
async function kernelScores(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
): Promise<Matrix> {
  const scores = matrix(train.count, classes);
  for await (const batch of kernelLeftOutRows(train, classes, map, gemm)) {
    scores.data.set(batch.scores.data, batch.indices[0] * classes);
  }
  return scores;
}

/**
 * What scores of labeled rows by probes that have not seen them say of the labels.
 * @param scores n × C; @param labels n
 */
export function judgedLabels(scores: Matrix, labels: Int32Array): JudgedLabels {
  const classes = scores.cols;
  const temperature = fitTemperature(scores, labels);
  const probabilities = softmaxRows(scores, temperature);
  const p = (row: number, c: number): number => probabilities.data[row * classes + c];
  const predicted = argmaxRows(scores);

  const { accuracy, confusion } = agreement(labels, predicted, classes);
  const sure = new Float64Array(classes);
  for (const [row, label] of labels.entries()) sure[label] += p(row, label);
  const counts = confusion.map((row) => row.reduce((sum, n) => sum + n, 0));
  const suspects: SuspectedLabel[] = [];
  for (const [row, label] of labels.entries()) {
    const suggested = predicted[row];
    if (suggested === label) continue;
    suspects.push({
      row,
      label,
      suggested,
      labelProbability: p(row, label),
      suggestedProbability: p(row, suggested),
      confident: p(row, suggested) >= sure[suggested] / counts[suggested],
    });
  }
  return {
    accuracy,
    temperature,
    confusion,
    suspects: suspects.sort((a, b) => a.labelProbability - b.labelProbability || a.row - b.row),
  };
}

/** Rows whose leverage, their distance from all rows under the pooled covariance, is far above the median. */
function outliersOf(leverages: Float64Array): Outlier[] {
  const median = medianOf(leverages);
  // 1.4826: of normal numbers, this is the standard deviation.
  const deviation = 1.4826 * medianOf(leverages.map((h) => Math.abs(h - median)));
  const limit = median + outlierDeviations * deviation;
  return Array.from(leverages, (leverage, row) => ({ row, leverage }))
    .filter(({ leverage }) => leverage > limit)
    .sort((a, b) => b.leverage - a.leverage);
}

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Two classes and the share of their rows that are taken for the other. */
export interface ConfusedPair {
  readonly classes: readonly [number, number];
  readonly share: number;
}

/** From this share on, two classes are not separated: guessing between them gives a half. */
const confusedShare = 0.25;

/** Classes that the encoder cannot separate: of their rows that get one of the two names, a quarter get the wrong one. */
export function confusedPairs(confusion: LabelCheck["confusion"]): ConfusedPair[] {
  const pairs: ConfusedPair[] = [];
  for (let a = 0; a < confusion.length; a++) {
    for (let b = a + 1; b < confusion.length; b++) {
      const wrong = confusion[a][b]! + confusion[b][a]!;
      const share = wrong / (wrong + confusion[a][a]! + confusion[b][b]!);
      if (wrong > 0 && share >= confusedShare) pairs.push({ classes: [a, b], share });
    }
  }
  return pairs.sort((a, b) => b.share - a.share);
}
