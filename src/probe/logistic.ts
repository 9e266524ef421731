import { NumericalError } from "../errors.ts";
import { crossEntropy } from "./cross-entropy.ts";
import type { FeatureMap } from "./feature-map.ts";
import type { Gemm } from "./gemm.ts";
import { accuracyOf } from "./labels.ts";
import { type Matrix, matrix } from "./matrix.ts";
import type { FeatureRows } from "./rows.ts";
import { splitOf } from "./split.ts";

/** Strengths of the penalty l2/2 · ‖W‖² that are chosen from, strongest first: each starts at the solution before. */
const strengths: readonly number[] = [1e-3, 3e-4, 1e-4, 3e-5, 1e-5];
const iterations = 60;
/** Pairs of steps and gradient differences that L-BFGS keeps. */
const memory = 10;
/** n · d · C up to which the features are held and fitted: some 200 passes of two products each. */
export const mostLogisticWork = 6e8;

/** A logistic probe: scores = g(features) · weight. */
export interface LogisticProbe {
  /** d × C. */
  readonly weight: Matrix;
  readonly l2: number;
}

/**
 * Multinomial logistic regression on all training features after `map`, its penalty chosen on a held-out tenth, then
 * fitted on all; undefined where that would take long (`mostLogisticWork`).
 */
export async function fitFullLogistic(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
): Promise<LogisticProbe | undefined> {
  const { count, featureSize, labels } = train;
  if (count * featureSize * classes > mostLogisticWork) return undefined;
  const part = async (rows: readonly number[]) => {
    const indices = Int32Array.from(rows);
    const features = new Float32Array(indices.length * featureSize);
    await train.rows(indices, features);
    return { Z: map.apply(features, indices.length).values, y: indices.map((row) => labels[row]) };
  };
  const { fit, held } = splitOf(labels, 10, "full-data validation");
  const [own, others] = [await part(fit), await part(held)];
  const accuracies: number[] = [];
  let weight = matrix(featureSize, classes);
  for (const l2 of strengths) {
    weight = await fitLogistic(own.Z, own.y, weight, l2, gemm);
    accuracies.push(accuracyOf(await gemm.multiply(others.Z, weight), others.y));
  }
  const best = accuracies.indexOf(Math.max(...accuracies));
  const all = await part(Array.from({ length: count }, (_, i) => i));
  weight = matrix(featureSize, classes);
  for (const l2 of strengths.slice(0, best + 1)) weight = await fitLogistic(all.Z, all.y, weight, l2, gemm);
  return { weight, l2: strengths[best] };
}

/**
 * Minimizes the mean cross-entropy of softmax(Z W) + l2/2 · ‖W‖² by L-BFGS (Liu & Nocedal, 1989) with backtracking.
 * @param Z n × d; @param start d × C, left as it is
 * @throws NumericalError where the loss is not finite
 */
export async function fitLogistic(
  Z: Matrix,
  labels: Int32Array,
  start: Matrix,
  l2: number,
  gemm: Gemm,
): Promise<Matrix> {
  const evaluate = async (W: Matrix) => {
    const { loss, gradient } = crossEntropy(await gemm.multiply(Z, W), labels);
    const dW = await gemm.multiply(Z, gradient, { transA: true });
    for (let i = 0; i < dW.data.length; i++) dW.data[i] += l2 * W.data[i];
    const value = loss + (l2 / 2) * dot(W.data, W.data);
    if (!Number.isFinite(value)) throw new NumericalError(`The logistic loss is not finite (${value}).`);
    return { value, gradient: dW.data };
  };
  let W = matrix(start.rows, start.cols, start.data.slice());
  let now = await evaluate(W);
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let k = 0; k < iterations; k++) {
    const direction = descent(now.gradient, pairs);
    const slope = dot(direction, now.gradient);
    if (!(slope < -1e-12)) break;
    // Without pairs the gradient's length says nothing of the step's.
    let step = pairs.length > 0 ? 1 : 1 / Math.max(1e-12, Math.sqrt(-slope));
    let next: { W: Matrix; value: number; gradient: Float64Array } | undefined;
    for (let tries = 0; tries < 20 && next === undefined; tries++, step /= 2) {
      const candidate = matrix(
        W.rows,
        W.cols,
        W.data.map((w, i) => w + step * direction[i]),
      );
      const at = await evaluate(candidate);
      if (at.value <= now.value + 1e-4 * step * slope) next = { W: candidate, ...at };
    }
    if (next === undefined) break;
    const s = next.W.data.map((w, i) => w - W.data[i]);
    const y = next.gradient.map((g, i) => g - now.gradient[i]);
    const curvature = dot(s, y);
    if (curvature > 1e-14) pairs.push({ s, y, rho: 1 / curvature });
    if (pairs.length > memory) pairs.shift();
    const gained = now.value - next.value;
    W = next.W;
    now = next;
    if (gained < 1e-7 * Math.max(1, now.value)) break;
  }
  return W;
}

/** −H · gradient, H the inverse Hessian that the pairs estimate (the two-loop recursion). */
function descent(
  gradient: Float64Array,
  pairs: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
  const q = gradient.map((g) => -g);
  const alphas = new Float64Array(pairs.length);
  for (let i = pairs.length - 1; i >= 0; i--) {
    const { s, y, rho } = pairs[i];
    alphas[i] = rho * dot(s, q);
    for (let j = 0; j < q.length; j++) q[j] -= alphas[i] * y[j];
  }
  const last = pairs.at(-1);
  if (last) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let j = 0; j < q.length; j++) q[j] *= scale;
  }
  for (const [i, { s, y, rho }] of pairs.entries()) {
    const beta = rho * dot(y, q);
    for (let j = 0; j < q.length; j++) q[j] += (alphas[i] - beta) * s[j];
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
