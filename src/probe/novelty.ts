import { FeatureStatistics } from "./feature-map.ts";
import { type Gemm, jsProduct } from "./gemm.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { principalVectors } from "./principal.ts";
import { type FeatureRows, sampledRows, sequentialBatches } from "./rows.ts";

/*
 * Whether an image may be of none of the classes. Two things speak for it: its features point away from where those of training
 * images vary (as for noise, or photographs among drawings), and no class has a high score (as for what resembles the training
 * images but is none of them).
 *
 * With z the standardized feature over its norm, v_k the principal directions of training features and w_k = e_k / (e_k + r) by their
 * eigenvalues e_k, the first is the leverage 1 − Σ w_k (v_kᵀz)², up to a factor that of a ridge of shift r: a Mahalanobis distance of
 * shrunk covariance. Both are taken in standard deviations from their means over training images that neither the
 * directions nor the probe have seen, and added. Chosen by bench/runs/none-of-these.ts.
 */

/** Where training features vary. */
export interface Subspace {
  /** Mean of the features, d. */
  readonly mean: Float64Array;
  /** One over their standard deviation, d. */
  readonly scale: Float64Array;
  /** √w_k v_k, k × d. */
  readonly basis: Matrix;
}

/** What the score is computed from. All of it comes from training features. */
export interface Novelty extends Subspace {
  readonly levels: NoveltyLevels;
}

/** Means and standard deviations over training images of the two parts of the score. */
export interface NoveltyLevels {
  readonly residualMean: number;
  readonly residualDeviation: number;
  readonly bestMean: number;
  readonly bestDeviation: number;
}

/** Rows that the subspace is fitted on, at most. */
export const subspaceRows = 1024;
/** Directions, at most; fewer for few images. */
const mostDirections = 64;
const rowsPerDirection = 8;
/** r over the sum of all eigenvalues: directions of a smaller share of the variance hardly count. */
const shrinkage = 0.001;
/** Of the best score, beside the residual's weight of 1. */
export const scoreWeight = 0.5;
/** Parts that training images are divided into: each is measured by the directions of the others. */
const folds = 5;

/** A subspace, and what each of some rows leaves of one that it was not part of. */
export interface MeasuredSubspace {
  readonly subspace: Subspace;
  readonly residuals: Float64Array;
}

/**
 * The subspace of training features, fitted on up to `most` of `rows`, and the residuals of all of `rows`. Needs memory for `most` rows
 * and as many squared numbers: no d × d matrix is made.
 */
export async function fitSubspace(
  train: FeatureRows,
  rows: Int32Array,
  gemm: Gemm,
  most = subspaceRows,
): Promise<MeasuredSubspace> {
  const d = train.featureSize;
  const places = sampledRows(rows.length, most, "novelty");
  const features = new Float32Array(places.length * d);
  await train.rows(
    Int32Array.from(places, (place) => rows[place]),
    features,
  );
  const { subspace, residuals: own } = await fitted(features, places.length, gemm);
  const residuals = new Float64Array(rows.length).fill(Number.NaN);
  for (const [i, place] of places.entries()) residuals[place] = own[i];
  const others = Int32Array.from(rows.keys()).filter((place) => Number.isNaN(residuals[place]));
  const indices = Int32Array.from(others, (place) => rows[place]);
  let at = 0;
  for await (const batch of sequentialBatches(train, { indices })) {
    const Z = unitRowsOf(subspace, matrix(batch.labels.length, d, new Float64Array(batch.features)));
    const along = await gemm.multiply(Z, subspace.basis, { transB: true });
    for (const value of outside(along)) residuals[others[at++]] = value;
  }
  return { subspace, residuals };
}

/** How far each row is out of the subspace, from 0 to 1. @param features n × d, as the encoder gives them */
export function residualsOf(subspace: Subspace, features: Matrix): Float64Array {
  return outside(jsProduct(unitRowsOf(subspace, features), subspace.basis, { transB: true }));
}

/** What is usual for rows that neither the subspace nor the probe has seen. */
export function levelsOf(residuals: Float64Array, best: Float64Array): NoveltyLevels {
  const [residualMean, residualDeviation] = meanAndDeviation(residuals);
  const [bestMean, bestDeviation] = meanAndDeviation(best);
  return { residualMean, residualDeviation, bestMean, bestDeviation };
}

/** How new each row is: the higher, the likelier of none of the classes. @param best each row's highest score */
export function noveltyOf(
  { residualMean, residualDeviation, bestMean, bestDeviation }: NoveltyLevels,
  residuals: Float64Array,
  best: Float64Array,
): Float64Array {
  return residuals.map(
    (own, i) =>
      (own - residualMean) / residualDeviation + (scoreWeight * (bestMean - best[i])) / bestDeviation,
  );
}

async function fitted(features: Float32Array, rows: number, gemm: Gemm): Promise<MeasuredSubspace> {
  const d = features.length / rows;
  const statistics = new FeatureStatistics(d);
  statistics.add(features);
  // As they are written: in single precision.
  const mean = statistics.mean().map(Math.fround);
  const scale = statistics.std().map((s) => Math.fround(1 / s));
  const blank = { mean, scale };
  const Z = unitRowsOf(blank, matrix(rows, d, new Float64Array(features)));
  // With the products K of all pairs of rows = U E Uᵀ, the directions are v_k = Zᵀ u_k / √e_k.
  const K = await gemm.multiply(Z, Z, { transB: true });
  const weighed = async (some: readonly number[]) => {
    const most = Math.min(mostDirections, d, Math.max(1, Math.floor(some.length / rowsPerDirection)));
    const { vectors, values } = await principalVectors(blockOf(K, some, some), most, gemm);
    const factors = values.map((e) => Math.sqrt(1 / (e + shrinkage * some.length)));
    for (let at = 0; at < vectors.data.length; at++) vectors.data[at] *= factors[at % factors.length];
    return vectors;
  };
  const residuals = new Float64Array(rows);
  const parts = Math.min(folds, rows);
  for (let part = 0; part < parts && parts > 1; part++) {
    const held = rowsWhere(rows, (i) => i % parts === part);
    const others = rowsWhere(rows, (i) => i % parts !== part);
    const along = await gemm.multiply(blockOf(K, held, others), await weighed(others));
    for (const [i, value] of outside(along).entries()) residuals[held[i]] = value;
  }
  const basis = await gemm.multiply(await weighed(rowsWhere(rows, () => true)), Z, { transA: true });
  for (let at = 0; at < basis.data.length; at++) basis.data[at] = Math.fround(basis.data[at]);
  return { subspace: { ...blank, basis }, residuals };
}

/** 1 − the squared length of each row. */
function outside({ rows, cols, data }: Matrix): Float64Array {
  const out = new Float64Array(rows).fill(1);
  for (let i = 0; i < rows; i++) for (let k = i * cols; k < (i + 1) * cols; k++) out[i] -= data[k] ** 2;
  return out;
}

/** Standardized rows over their norms; a row of norm zero stays zero. */
function unitRowsOf({ mean, scale }: Omit<Subspace, "basis">, { rows, cols, data }: Matrix): Matrix {
  const out = new Float64Array(data.length);
  for (let at = 0; at < data.length; at += cols) {
    let square = 0;
    for (let j = 0; j < cols; j++) {
      const z = (data[at + j] - mean[j]) * scale[j];
      out[at + j] = z;
      square += z * z;
    }
    const factor = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let j = at; j < at + cols; j++) out[j] *= factor;
  }
  return matrix(rows, cols, out);
}

/** Mean and standard deviation; that of equal numbers is taken as 1. */
function meanAndDeviation(values: Float64Array): [number, number] {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  return [mean, Math.sqrt(variance) || 1];
}

function rowsWhere(count: number, isWanted: (row: number) => boolean): number[] {
  return Array.from({ length: count }, (_, i) => i).filter(isWanted);
}

function blockOf({ cols, data }: Matrix, rows: readonly number[], columns: readonly number[]): Matrix {
  const out = matrix(rows.length, columns.length);
  for (const [i, row] of rows.entries()) {
    for (const [j, column] of columns.entries()) out.data[i * columns.length + j] = data[row * cols + column];
  }
  return out;
}
