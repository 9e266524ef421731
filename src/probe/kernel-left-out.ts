import { cholesky } from "./cholesky.ts";
import { ClassSums } from "./class-sums.ts";
import { type FeatureMap, unitRows } from "./feature-map.ts";
import type { Gemm } from "./gemm.ts";
import { gram } from "./gram.ts";
import { type LeftOutScores, leftOutOf } from "./leave-one-out.ts";
import { identity, type Matrix, matrix, scaled } from "./matrix.ts";
import type { Nested } from "./nested.ts";
import { centeredCrossProducts } from "./ridge-accumulator.ts";
import { type FeatureRows, sampledRows, sequentialBatches } from "./rows.ts";

/** Rows that the kernel is spanned by: the rank of the Nyström approximation. */
const mostLandmarks = 1024;

/** What the kernel probe may be tuned by; chosen by bench/runs/labels.ts. */
export interface KernelSettings {
  /** k(a, b) = exp(width · (cos(a, b) − 1)): a Gaussian of the distance between unit rows. */
  readonly width: number;
  /** r, of the kernel's own norm. */
  readonly penalty: number;
}
export const kernelSettings: KernelSettings = { width: 2, penalty: 1 };

/** Keeps the kernel of equal landmarks positive definite. */
const jitter = 1e-6;
/** The kernel's values of a batch are in double: 32 MB. */
const batchSize = 4096;
/** The kernel's values of all rows are kept, in single precision, up to this many bytes; above, they are computed twice. */
const mostKept = 2 ** 28;

/**
 * Leave-one-out scores of all rows by kernel ridge regression with a Gaussian kernel on landmarks (Nyström; Williams and Seeger
 * 2001), streamed once, or twice where there are many: scores k(z)ᵀ W of least Σ ‖yᵢ − k(zᵢ)ᵀ W‖² + r tr(Wᵀ K W), K the kernel of
 * the landmarks. What a row's neighbors are labeled counts more than in a linear probe, so that wrong labels stand out where classes have several parts. Needs
 * memory for m × m and m × C numbers and one batch, or for 256 MB, m ≤ 1,024.
 */
export async function* kernelLeftOutRows(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
  { width, penalty }: KernelSettings = kernelSettings,
): AsyncGenerator<LeftOutScores, void, undefined> {
  const at = sampledRows(train.count, mostLandmarks, "landmarks");
  const features = new Float32Array(at.length * train.featureSize);
  await train.rows(at, features);
  const unit = (rows: Matrix): Matrix => (unitRows(map.normalization) ? rows : unitRowsOf(rows));
  const landmarks = unit(map.apply(features, at.length).values);
  const kernel = async (rows: Matrix): Promise<Matrix> => {
    const values = await gemm.multiply(unit(rows), landmarks, { transB: true });
    for (let i = 0; i < values.data.length; i++) values.data[i] = Math.exp(width * (values.data[i] - 1));
    return values;
  };
  const own = scaled(await kernel(landmarks), penalty);
  for (let i = 0; i < at.length; i++) own.data[i * (at.length + 1)] += penalty * jitter;
  let system: Nested = own;
  const kept: Float32Array[] | undefined = 4 * train.count * at.length <= mostKept ? [] : undefined;
  const sums = new ClassSums(classes, at.length);
  for await (const batch of sequentialBatches(train, { batchSize })) {
    const K = await kernel(map.apply(batch.features, batch.labels.length).values);
    sums.add(K, batch.labels);
    kept?.push(new Float32Array(K.data));
    system = await gram(K, gemm, { of: "columns", plus: system });
  }
  const factor = await cholesky(system, gemm);
  const ridge = {
    weight: await factor.solve(centeredCrossProducts(sums)),
    inverse: await factor.solve(identity(at.length)),
  };
  if (kept !== undefined) {
    for (const [k, values] of kept.entries()) {
      const K = matrix(values.length / at.length, at.length, new Float64Array(values));
      const indices = Int32Array.from({ length: K.rows }, (_, i) => k * batchSize + i);
      const labels = train.labels.slice(k * batchSize, k * batchSize + K.rows);
      yield { ...(await leftOutOf(ridge, K, labels, gemm)), labels, indices };
    }
    return;
  }
  for await (const { features, labels, indices } of sequentialBatches(train, { batchSize })) {
    const K = await kernel(map.apply(features, labels.length).values);
    yield { ...(await leftOutOf(ridge, K, labels, gemm)), labels, indices };
  }
}

/** Rows over their norms, in new memory; a row of norm zero stays zero. */
function unitRowsOf({ rows, cols, data }: Matrix): Matrix {
  const out = data.slice();
  for (let at = 0; at < out.length; at += cols) {
    let square = 0;
    for (let j = at; j < at + cols; j++) square += out[j] * out[j];
    const factor = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let j = at; j < at + cols; j++) out[j] *= factor;
  }
  return matrix(rows, cols, out);
}
