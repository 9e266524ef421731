import type { ClosedFormProbe } from "./closed-form.ts";
import type { FeatureMap } from "./feature-map.ts";
import type { Gemm } from "./gemm.ts";
import { MetricsAccumulator } from "./metrics.ts";
import { RidgeAccumulator } from "./ridge-accumulator.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";
import { splitOf } from "./split.ts";

/** Ridge strengths, relative to tr(ZᵀZ)/n, that the full-data probe is chosen from. */
export const fullDataLambdas: readonly number[] = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];

/** One row in so many of the training features is held out, and λ chosen on those. */
const validationShare = 10;

/**
 * The closed-form probe of all training features: λ chosen on a held-out tenth of them, then solved on all.
 * Reads the features twice, never holding them.
 */
export async function fitFullData(
  train: FeatureRows,
  classes: number,
  map: FeatureMap,
  gemm: Gemm,
): Promise<ClosedFormProbe> {
  const { fit, held } = splitOf(train.labels, validationShare, "full-data validation");
  const part = async (indices: readonly number[]): Promise<RidgeAccumulator> => {
    const sums = new RidgeAccumulator(train.featureSize, classes, gemm);
    for await (const batch of sequentialBatches(train, { indices: Int32Array.from(indices) })) {
      await sums.add(map.apply(batch.features, batch.labels.length).values, batch.labels);
    }
    return sums;
  };
  const fitted = await part(fit);
  const candidates = await fitted.solve(fullDataLambdas);
  const scores = candidates.map(() => new MetricsAccumulator(classes));
  for await (const { features, labels } of sequentialBatches(train, {
    indices: Int32Array.from(held),
  })) {
    const { values } = map.apply(features, labels.length);
    for (const [k, { weight }] of candidates.entries()) {
      scores[k].add((await gemm.multiply(values, weight)).data, labels);
    }
  }
  const lambda = bestLambda(scores.map((s) => s.result().top1));
  // Of next to no rows none is held out: all were fitted.
  if (fit.length < train.count) fitted.merge(await part(held));
  const [solution] = await fitted.solve([lambda]);
  return { weight: solution!.weight, map, lambda };
}

/** The λ of the highest accuracy; of equally good ones the largest, which fits the training images least closely. */
function bestLambda(accuracies: readonly number[]): number {
  return fullDataLambdas[accuracies.lastIndexOf(Math.max(...accuracies))];
}
