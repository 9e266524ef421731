import { indicesByClass } from "../probe/class-rows.ts";
import { ClassSums } from "../probe/class-sums.ts";
import { type FeatureMap, featureMap } from "../probe/feature-map.ts";
import type { Matrix } from "../probe/matrix.ts";
import { type FeatureRows, sequentialBatches } from "../probe/rows.ts";
import { seededRandom } from "../random.ts";

/** `ipc` random images of each class, in class order. */
export function randomImages(labels: Int32Array, classes: number, ipc: number, seed: number): Int32Array {
  const random = seededRandom(seed, "random baseline");
  const byClass = indicesByClass(labels, classes, ipc);
  return Int32Array.from(
    byClass.flatMap((indices) => {
      // A partial Fisher–Yates shuffle: the first ipc places.
      for (let i = 0; i < ipc; i++) {
        const j = i + random.below(indices.length - i);
        [indices[i], indices[j]] = [indices[j], indices[i]];
      }
      return indices.slice(0, ipc);
    }),
  );
}

/** The `ipc` images of each class nearest to the class's mean feature (squared Euclidean), in class order. */
export async function centroidImages(real: FeatureRows, classes: number, ipc: number): Promise<Int32Array> {
  const byClass = indicesByClass(real.labels, classes, ipc);
  const means = (await classMeans(real, classes, featureMap({ normalization: "none" }))).data;
  const d = real.featureSize;
  const distances = new Float64Array(real.count);
  for await (const { features, labels, indices } of sequentialBatches(real)) {
    for (let i = 0; i < labels.length; i++) {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += (features[i * d + k] - means[labels[i]! * d + k]) ** 2;
      distances[indices[i]] = sum;
    }
  }
  return Int32Array.from(
    byClass.flatMap((indices) => indices.sort((a, b) => distances[a] - distances[b] || a - b).slice(0, ipc)),
  );
}

/** Mean feature of each class after `map`, C × d. */
export async function classMeans(real: FeatureRows, classes: number, map: FeatureMap): Promise<Matrix> {
  const sums = new ClassSums(classes, real.featureSize);
  for await (const { features, labels } of sequentialBatches(real)) {
    sums.add(map.apply(features, labels.length).values, labels);
  }
  return sums.means();
}
