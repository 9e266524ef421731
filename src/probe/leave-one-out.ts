import { cholesky } from "./cholesky.ts";
import type { FeatureMap } from "./feature-map.ts";
import type { Gemm } from "./gemm.ts";
import { gram } from "./gram.ts";
import { centeredOneHot } from "./labels.ts";
import { identity, type Matrix, matrix } from "./matrix.ts";
import { traceOf } from "./nested.ts";
import { RidgeAccumulator } from "./ridge-accumulator.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";

/*
 * A ridge probe of n rows gives row i the scores ŷᵢ = zᵢ W. Solved without row i, at the same shift r, it gives
 * yᵢ − (yᵢ − ŷᵢ) / (1 − hᵢᵢ), where hᵢᵢ = zᵢᵀ (ZᵀZ + rI)⁻¹ zᵢ is the leverage of the row (Allen 1974, PRESS): exact, from
 * the one factorization.
 */

/** Scores of labeled rows by probes that have not seen them. */
export interface LeftOut {
  /** n × C: row i as scored by the probe of all other rows. */
  readonly scores: Matrix;
  /** hᵢᵢ of each row, from 0 to 1: how much the row decides its own score. */
  readonly leverages: Float64Array;
}

/**
 * Leave-one-out scores of mapped features Z (n × d) with labels Y (n × C) under a ridge of λ, held in memory. The shift
 * r = λ · tr(ZZᵀ)/n is that of all rows.
 */
export async function leaveOneOut(Z: Matrix, Y: Matrix, lambda: number, gemm: Gemm): Promise<LeftOut> {
  const K = await gram(Z, gemm);
  const shift = (lambda * traceOf(K)) / Z.rows;
  const system = await cholesky(K, gemm, { shift });
  // With A = (K + rI)⁻¹: y − ŷ = r A Y and 1 − hᵢᵢ = r Aᵢᵢ, so that r cancels from their quotient.
  const A = await system.solve(identity(Z.rows));
  const AY = await gemm.multiply(A, Y);
  const scores = matrix(Y.rows, Y.cols, Y.data.slice());
  const leverages = new Float64Array(Z.rows);
  for (let i = 0; i < Z.rows; i++) {
    const own = A.data[i * Z.rows + i];
    leverages[i] = 1 - shift * own;
    for (let c = i * Y.cols; c < (i + 1) * Y.cols; c++) scores.data[c] -= AY.data[c] / own;
  }
  return { scores, leverages };
}

/** What leave-one-out scores of streamed rows are computed from: d × d and d × C. */
export interface FactoredRidge {
  readonly lambda: number;
  readonly weight: Matrix;
  /** (ZᵀZ + rI)⁻¹, d × d. */
  readonly inverse: Matrix;
}

/** Leave-one-out scores of some of the rows that a ridge was solved on: mapped features n × d, labels as class indices. */
async function leftOutOf(
  { weight, inverse }: FactoredRidge,
  Z: Matrix,
  labels: Int32Array,
  gemm: Gemm,
): Promise<LeftOut> {
  const Y = centeredOneHot(labels, weight.cols);
  const scores = await gemm.multiply(Z, weight);
  const projected = await gemm.multiply(Z, inverse);
  const leverages = new Float64Array(Z.rows);
  for (let i = 0; i < Z.rows; i++) {
    let h = 0;
    for (let j = i * Z.cols; j < (i + 1) * Z.cols; j++) h += Z.data[j] * projected.data[j];
    leverages[i] = h;
    for (let c = i * Y.cols; c < (i + 1) * Y.cols; c++) {
      scores.data[c] = Y.data[c] - (Y.data[c] - scores.data[c]) / (1 - h);
    }
  }
  return { scores, leverages };
}

/** A stretch of a data set's rows with their leave-one-out scores. */
export interface LeftOutBatch extends LeftOut {
  /** Mapped features, n × d. */
  readonly mapped: Matrix;
  readonly labels: Int32Array;
  /** Rows of the features. */
  readonly indices: Int32Array;
}

/** ZᵀZ and the sums by class of all rows of a data set, streamed. */
export async function accumulated(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
): Promise<RidgeAccumulator> {
  const sums = new RidgeAccumulator(train.featureSize, classes, gemm);
  for await (const { features, labels } of sequentialBatches(train)) {
    await sums.add(map.apply(features, labels.length).values, labels);
  }
  return sums;
}

/** Leave-one-out scores of the rows `indices` (default: all) under a ridge that was solved on all rows, streamed. */
export async function* leftOutRows(
  ridge: FactoredRidge,
  train: FeatureRows,
  map: FeatureMap,
  gemm: Gemm,
  indices?: Int32Array,
): AsyncGenerator<LeftOutBatch, void, undefined> {
  for await (const batch of sequentialBatches(train, indices ? { indices } : {})) {
    const { labels } = batch;
    const mapped = map.apply(batch.features, labels.length).values;
    yield { ...(await leftOutOf(ridge, mapped, labels, gemm)), mapped, labels, indices: batch.indices };
  }
}
