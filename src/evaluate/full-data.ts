import { type FeatureRows, sequentialBatches } from "../data/feature-rows.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
import { RidgeAccumulator } from "../probe/ridge-accumulator.ts";
import { seededRandom } from "../random.ts";
import type { ClosedFormProbe } from "./closed-form.ts";
import { MetricsAccumulator } from "./metrics.ts";

/** Ridge strengths, relative to tr(ZᵀZ)/n, that the full-data probe is chosen from. */
const fullDataLambdas: readonly number[] = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];

/** Share of the training features on which λ is chosen. */
const validationShare = 0.1;

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
  const random = seededRandom(0, "full-data validation");
  const validation: number[] = [];
  const fit: number[] = [];
  for (let i = 0; i < train.count; i++) (random.uniform() < validationShare ? validation : fit).push(i);
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
    indices: Int32Array.from(validation),
  })) {
    const { values } = map.apply(features, labels.length);
    for (const [k, { weight }] of candidates.entries()) {
      scores[k]!.add((await gemm.multiply(values, weight)).data, labels);
    }
  }
  let best = 0;
  const accuracies = scores.map((s) => s.result().top1);
  for (const [k, accuracy] of accuracies.entries()) if (accuracy > accuracies[best]!) best = k;
  const lambda = fullDataLambdas[best]!;
  fitted.merge(await part(validation));
  const [solution] = await fitted.solve([lambda]);
  return { weight: solution!.weight, map, lambda };
}
