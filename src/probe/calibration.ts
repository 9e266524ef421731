import type { ClosedFormProbe } from "./closed-form.ts";
import type { Gemm } from "./gemm.ts";
import { centeredOneHot } from "./labels.ts";
import { accumulated, leaveOneOut, leftOutRows } from "./leave-one-out.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { fitSubspace, levelsOf, type MeasuredSubspace, type Novelty, noveltyOf } from "./novelty.ts";
import { bestOfRows, softmaxRows } from "./probabilities.ts";
import { type FeatureRows, sampledRows, sequentialBatches } from "./rows.ts";

/** What turns a probe's scores into probabilities, and recognizes images of none of its classes. */
export interface Calibration {
  /** Probabilities are softmax(scores / temperature). */
  readonly temperature: number;
  /** An image whose novelty (novelty.ts) is above may be of none of the classes; absent in sets of earlier versions. */
  readonly unknownAbove?: number | undefined;
  /** For who has scores alone: an image whose best score is below may be of none of the classes. */
  readonly unknownBelow: number;
  /** Share of the training images that either threshold takes for images of none of the classes. */
  readonly falseAlarms: number;
  /** Training images that all were fitted on. */
  readonly images: number;
}

/** The same with what novelty is computed from. */
export interface FittedCalibration extends Calibration {
  readonly unknownAbove: number;
  readonly novelty: Novelty;
}

/** Share of the training images that the threshold for "none of these" is to reject. */
const askedFalseAlarms = 0.05;

/** Numbers of scores that are held: what a temperature and a percentile need does not grow with the data set. */
const mostScores = 2e7;
const mostRows = 20_000;

/**
 * Fits temperature and threshold on real training features, each scored by the probe solved without it: a row that
 * the probe was solved on gets its leave-one-out score, any other the probe's own. Test images are never used.
 * @param solvedOn rows of `train` that the probe was solved on; "all", or none for a distilled set
 * @param keepSubspace gives what another command has kept of what does not depend on the probe, or makes it
 */
export async function calibrate(
  probe: ClosedFormProbe,
  train: FeatureRows,
  solvedOn: Int32Array | "all",
  gemm: Gemm,
  keepSubspace: KeepSubspace = (_, make) => make(),
): Promise<FittedCalibration> {
  const classes = probe.weight.cols;
  const rows = sampledRows(train.count, Math.min(mostRows, Math.ceil(mostScores / classes)), "calibration");
  const labels = Int32Array.from(rows, (row) => train.labels[row]);
  const scores = matrix(rows.length, classes);
  let filled = 0;
  if (solvedOn === "all") {
    const sums = await accumulated(train, classes, probe.map, gemm);
    const ridge = await sums.factor(probe.lambda);
    for await (const batch of leftOutRows(ridge, train, probe.map, gemm, rows)) {
      scores.data.set(batch.scores.data, filled);
      filled += batch.scores.data.length;
    }
  } else {
    for await (const batch of sequentialBatches(train, { indices: rows })) {
      const { values } = probe.map.apply(batch.features, batch.labels.length);
      const own = await gemm.multiply(values, probe.weight);
      scores.data.set(own.data, filled);
      filled += own.data.length;
    }
    await replaceSolved(probe, train, solvedOn, rows, scores, gemm);
  }
  const measured = await keepSubspace(rows.length, () => fitSubspace(train, rows, gemm));
  return calibrationOf(scores, labels, measured);
}

/** Keeps the subspace of training features, with the residuals of so many rows, or gives one that was kept. */
type KeepSubspace = (rows: number, make: () => Promise<MeasuredSubspace>) => Promise<MeasuredSubspace>;

/**
 * Temperature and thresholds of labeled rows by probes and subspaces that have not seen them.
 * @param scores n × C; @param labels n
 */
export function calibrationOf(
  scores: Matrix,
  labels: ArrayLike<number>,
  { subspace, residuals }: MeasuredSubspace,
): FittedCalibration {
  const best = bestOfRows(scores);
  const levels = levelsOf(residuals, best);
  const novelties = noveltyOf(levels, residuals, best).sort();
  const rejected = Math.floor(askedFalseAlarms * best.length);
  const unknownAbove = novelties[best.length - 1 - rejected];
  return {
    temperature: fitTemperature(scores, labels),
    unknownAbove,
    unknownBelow: best.sort()[rejected],
    falseAlarms: novelties.filter((novelty) => novelty > unknownAbove).length / best.length,
    images: scores.rows,
    novelty: { ...subspace, levels },
  };
}

/** Puts leave-one-out scores in the place of those of rows that the probe was solved on. */
async function replaceSolved(
  probe: ClosedFormProbe,
  train: FeatureRows,
  solvedOn: Int32Array,
  rows: Int32Array,
  scores: Matrix,
  gemm: Gemm,
): Promise<void> {
  const place = new Map(Array.from(rows, (row, at) => [row, at] as const));
  if (!solvedOn.some((row) => place.has(row))) return;
  const features = new Float32Array(solvedOn.length * train.featureSize);
  await train.rows(solvedOn, features);
  const labels = Int32Array.from(solvedOn, (row) => train.labels[row]);
  const Y = centeredOneHot(labels, scores.cols);
  const Z = probe.map.apply(features, solvedOn.length).values;
  const left = await leaveOneOut(Z, Y, probe.lambda, gemm);
  for (const [i, row] of solvedOn.entries()) {
    const at = place.get(row);
    if (at === undefined) continue;
    scores.data.set(left.scores.data.subarray(i * scores.cols, (i + 1) * scores.cols), at * scores.cols);
  }
}

/**
 * The temperature of least cross-entropy (Guo et al. 2017). The targets are Platt's (1999), (n + 1)/(n + C) for the label and
 * 1/(n + C) for each other class: with hard ones, scores that are all right would have the temperature 0.
 */
export function fitTemperature(all: Matrix, allLabels: ArrayLike<number>): number {
  const { scores, labels } = sampledScores(all, allLabels);
  const { rows, cols, data } = scores;
  const off = 1 / (rows + cols);
  const spread = Math.sqrt(data.reduce((sum, s) => sum + s * s, 0) / data.length);
  if (!(spread > 0)) return 1;
  // In β = 1/T the loss is convex: its slope, E_p[s] − E_t[s] over all rows, is rising.
  const slope = (beta: number): number => {
    const p = softmaxRows(scores, 1 / beta);
    let sum = 0;
    for (let i = 0; i < rows; i++) {
      const at = i * cols;
      for (let c = 0; c < cols; c++) {
        const target = c === labels[i] ? off * (rows + 1) : off;
        sum += (p.data[at + c] - target) * data[at + c];
      }
    }
    return sum;
  };
  let [low, high] = [1e-3 / spread, 1e5 / spread];
  for (let k = 0; k < 60 && high / low > 1.0001; k++) {
    const middle = Math.sqrt(low * high);
    if (slope(middle) < 0) low = middle;
    else high = middle;
  }
  return 1 / Math.sqrt(low * high);
}

/** Scores that a temperature is fitted on: of more, rows are drawn. */
const mostFitted = 2e6;

function sampledScores(
  scores: Matrix,
  labels: ArrayLike<number>,
): { scores: Matrix; labels: ArrayLike<number> } {
  const { rows, cols, data } = scores;
  const drawn = sampledRows(rows, Math.ceil(mostFitted / cols), "temperature");
  if (drawn.length === rows) return { scores, labels };
  const out = matrix(drawn.length, cols);
  for (const [i, row] of drawn.entries()) {
    out.data.set(data.subarray(row * cols, (row + 1) * cols), i * cols);
  }
  return { scores: out, labels: Int32Array.from(drawn, (row) => labels[row]) };
}
