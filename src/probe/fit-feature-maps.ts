import {
  type FeatureMap,
  FeatureStatistics,
  fitFeatureMap,
  type Normalization,
  needsStatistics,
} from "./feature-map.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";

/** Feature maps fitted on the real training features, in one pass over them where any needs it. */
export async function fitFeatureMaps(
  normalizations: readonly Normalization[],
  train: FeatureRows,
): Promise<FeatureMap[]> {
  const statistics = new FeatureStatistics(train.featureSize);
  if (normalizations.some(needsStatistics)) {
    for await (const { features } of sequentialBatches(train)) statistics.add(features);
  }
  return normalizations.map((normalization) => fitFeatureMap(normalization, statistics));
}
