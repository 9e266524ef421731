import { UsageError } from "../errors.ts";
import { type Random, seededRandom } from "../random.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { type Gemm, jsGemm } from "./gemm.ts";
import { accuracyOf } from "./labels.ts";
import { type Matrix, matrix } from "./matrix.ts";
import type { LabeledFeatures } from "./rows.ts";

/** A linear classifier: scores of features Z (n × d) are Z · weight + bias. */
export interface LinearHead {
  /** d × C. */
  readonly weight: Matrix;
  /** C. */
  readonly bias: Float64Array;
}

export interface HeadOptions {
  readonly classes: number;
  readonly seed: number;
  /**
   * Adam's learning rate at the start. Default: LGM's rule, 1e-3 · batch / 256, where batch is the size of a
   * training batch, `min(batchSize, count)`: eight distilled images give 3.1e-5.
   */
  readonly learningRate?: number;
  /** Rows of one Adam step, default 256; all of them where there are fewer. */
  readonly batchSize?: number;
  /** Default 1,000. */
  readonly epochs?: number;
  readonly gemm?: Gemm;
  /** Weight and bias to start from; default weight ~ N(0, 0.01²), bias 0. */
  readonly initial?: LinearHead;
  /** Stops the training between epochs by throwing its reason. */
  readonly signal?: AbortSignal;
  readonly onEpoch?: (progress: { epoch: number; epochs: number; loss: number }) => void;
}

/** The learning rates among which DD-Ranking (arXiv 2505.13300) tunes a head for every method alike. */
export const tunedLearningRates = [0.001, 0.005, 0.01, 0.05, 0.1] as const;

/**
 * Trains the linear head by which LGM (arXiv 2511.16674) evaluates: weight from N(0, 0.01²) and bias from 0,
 * cross entropy on hard labels, Adam (β .9, .999, ε 1e-8) without weight decay, the learning rate falling from
 * epoch to epoch by a half cosine to 0, rows in a new order each epoch. All in float64, equal for equal seeds.
 */
export async function trainHead(features: LabeledFeatures, options: HeadOptions): Promise<LinearHead> {
  const batch = Math.min(options.batchSize ?? 256, features.count);
  const [head] = await trainHeads(features, options, [options.learningRate ?? (1e-3 * batch) / 256]);
  return head!;
}

/** A head, the learning rate it was trained with, and its accuracy on the validation features. */
export interface TunedHead {
  readonly learningRate: number;
  readonly accuracy: number;
  readonly head: LinearHead;
}

/**
 * Trains a head for each of `learningRates` (side by side, from the same start and in the same order of rows:
 * each is what `trainHead` gives for that rate) and returns the best on `validation` with all that were tried;
 * of equal ones the lowest rate. DD-Ranking validates on the test set: figures tuned that way are
 * optimistic, for every method and baseline alike.
 */
export async function tuneHead(
  features: LabeledFeatures,
  validation: LabeledFeatures,
  options: Omit<HeadOptions, "learningRate"> & { readonly learningRates?: readonly number[] },
): Promise<{ best: TunedHead; tried: readonly TunedHead[] }> {
  const rates = [...(options.learningRates ?? tunedLearningRates)].sort((a, b) => a - b);
  const heads = await trainHeads(features, options, rates);
  const accuracies = await headAccuracies(heads, validation, options.gemm);
  const tried = rates.map((learningRate, i) => ({
    learningRate,
    accuracy: accuracies[i],
    head: heads[i],
  }));
  return { best: tried.reduce((best, next) => (next.accuracy > best.accuracy ? next : best)), tried };
}

/** Scores (n × C) of features `Z` (n × d). */
export async function headScores(head: LinearHead, Z: Matrix, gemm: Gemm = jsGemm): Promise<Matrix> {
  const scores = await gemm.multiply(Z, head.weight);
  addToRows(scores, head.bias);
  return scores;
}

/** Top-1 accuracy of each head, the features streamed once in batches. */
export async function headAccuracies(
  heads: readonly LinearHead[],
  features: LabeledFeatures,
  gemm: Gemm = jsGemm,
  batchSize = 1024,
): Promise<number[]> {
  const right = heads.map(() => 0);
  for (let start = 0; start < features.count; start += batchSize) {
    const count = Math.min(batchSize, features.count - start);
    const { Z, labels } = await readBatch(
      features,
      Int32Array.from({ length: count }, (_, i) => start + i),
    );
    for (const [k, head] of heads.entries()) {
      right[k] += count * accuracyOf(await headScores(head, Z, gemm), labels);
    }
  }
  return right.map((r) => Math.round(r) / features.count);
}

/**
 * Trains one head for each learning rate on the same batches. The heads stand side by side in one weight
 * (d × heads·C), so that a batch is read once and multiplied once.
 */
async function trainHeads(
  features: LabeledFeatures,
  options: HeadOptions,
  learningRates: readonly number[],
): Promise<LinearHead[]> {
  const { classes: C, seed, batchSize = 256, epochs = 1000, gemm = jsGemm, signal, onEpoch } = options;
  const { count, featureSize: d } = features;
  if (count === 0) throw new UsageError("a head cannot be trained on no features. Give at least one image.");
  for (const rate of learningRates) {
    if (!(rate > 0 && rate < Number.POSITIVE_INFINITY)) {
      throw new UsageError(`a head's learning rate must be a number above 0, got ${rate}. Try 0.01.`);
    }
  }
  const H = learningRates.length;
  const start = options.initial ?? freshHead(d, C, seededRandom(seed, "head weight"));
  const weight = repeatColumns(start.weight, H);
  const bias = repeatColumns(matrix(1, C, start.bias), H);
  const [weightState, biasState] = [moments(weight), moments(bias)];
  // By far the largest array of a step, written anew in each.
  const byWeight = matrix(d, H * C);
  const order = seededRandom(seed, "head order");
  const indices = Int32Array.from({ length: count }, (_, i) => i);
  const batch = Math.min(batchSize, count);
  let step = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    signal?.throwIfAborted();
    shuffle(indices, order);
    const cosine = (1 + Math.cos((Math.PI * epoch) / epochs)) / 2;
    const rates = learningRates.map((rate) => rate * cosine);
    let epochLoss = 0;
    for (let at = 0; at < count; at += batch) {
      const { Z, labels } = await readBatch(features, indices.subarray(at, at + batch), epoch);
      const scores = await gemm.multiply(Z, weight);
      addToRows(scores, bias.data);
      // Each head's scores are C columns of a row; as n·H rows of C they are H samples with the same label.
      const repeated = Int32Array.from({ length: labels.length * H }, (_, i) => labels[Math.floor(i / H)]);
      const { loss, gradient } = crossEntropy(matrix(Z.rows * H, C, scores.data), repeated, Z.rows);
      const byScores = matrix(Z.rows, H * C, gradient.data);
      step++;
      await gemm.multiply(Z, byScores, { transA: true, into: byWeight });
      adamStep(weight, byWeight, weightState, rates, step);
      adamStep(bias, columnSums(byScores), biasState, rates, step);
      epochLoss += (loss / H) * Z.rows;
    }
    onEpoch?.({ epoch: epoch + 1, epochs, loss: epochLoss / count });
  }
  return learningRates.map((_, h) => ({
    weight: columnsOf(weight, h * C, C),
    bias: bias.data.slice(h * C, (h + 1) * C),
  }));
}

async function readBatch(
  features: LabeledFeatures,
  indices: Int32Array,
  epoch?: number,
): Promise<{ Z: Matrix; labels: Int32Array }> {
  const rows = new Float32Array(indices.length * features.featureSize);
  await features.rows(indices, rows, epoch);
  return {
    Z: matrix(indices.length, features.featureSize, new Float64Array(rows)),
    labels: Int32Array.from(indices, (i) => features.labels[i]),
  };
}

function freshHead(d: number, classes: number, random: Random): LinearHead {
  const weight = matrix(d, classes);
  for (let i = 0; i < weight.data.length; i++) weight.data[i] = 0.01 * random.normal();
  return { weight, bias: new Float64Array(classes) };
}

function shuffle(indices: Int32Array, random: Random): void {
  for (let i = indices.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const kept = indices[i];
    indices[i] = indices[j];
    indices[j] = kept;
  }
}

interface Moments {
  readonly first: Float64Array;
  readonly second: Float64Array;
}

const moments = (a: Matrix): Moments => ({
  first: new Float64Array(a.data.length),
  second: new Float64Array(a.data.length),
});

/** One Adam step (Kingma & Ba, 2015) on heads that stand side by side, each with its learning rate. */
function adamStep(
  parameter: Matrix,
  gradient: Matrix,
  { first, second }: Moments,
  rates: readonly number[],
  step: number,
): void {
  const { data, cols } = parameter;
  const width = cols / rates.length;
  const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
  const correction = 1 / (1 - beta2 ** step);
  const sizes = rates.map((rate) => rate / (1 - beta1 ** step));
  const slopes = gradient.data;
  for (let at = 0; at < data.length; at += width) {
    const size = sizes[(at % cols) / width];
    for (let i = at; i < at + width; i++) {
      const g = slopes[i];
      const m = beta1 * first[i] + (1 - beta1) * g;
      const v = beta2 * second[i] + (1 - beta2) * g * g;
      first[i] = m;
      second[i] = v;
      data[i] -= (size * m) / (Math.sqrt(v * correction) + epsilon);
    }
  }
}

function addToRows(a: Matrix, row: Float64Array): void {
  for (let at = 0; at < a.data.length; at += a.cols) {
    for (let j = 0; j < a.cols; j++) a.data[at + j] += row[j];
  }
}

function columnSums(a: Matrix): Matrix {
  const out = matrix(1, a.cols);
  for (let at = 0; at < a.data.length; at += a.cols) {
    for (let j = 0; j < a.cols; j++) out.data[j] += a.data[at + j];
  }
  return out;
}

function repeatColumns(a: Matrix, times: number): Matrix {
  const out = matrix(a.rows, a.cols * times);
  for (let i = 0; i < a.rows; i++) {
    const row = a.data.subarray(i * a.cols, (i + 1) * a.cols);
    for (let k = 0; k < times; k++) out.data.set(row, (i * times + k) * a.cols);
  }
  return out;
}

function columnsOf(a: Matrix, start: number, count: number): Matrix {
  const out = matrix(a.rows, count);
  for (let i = 0; i < a.rows; i++) {
    out.data.set(a.data.subarray(i * a.cols + start, i * a.cols + start + count), i * count);
  }
  return out;
}
