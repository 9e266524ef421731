import { type FeatureRows, sequentialBatches } from "../data/feature-rows.ts";
import { DataError } from "../errors.ts";
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
        [indices[i], indices[j]] = [indices[j]!, indices[i]!];
      }
      return indices.slice(0, ipc);
    }),
  );
}

/** The `ipc` images of each class nearest to the class's mean feature (squared Euclidean), in class order. */
export async function centroidImages(real: FeatureRows, classes: number, ipc: number): Promise<Int32Array> {
  const byClass = indicesByClass(real.labels, classes, ipc);
  const means = await classMeans(real, classes);
  const d = real.featureSize;
  const distances = new Float64Array(real.count);
  for await (const { features, labels, indices } of sequentialBatches(real)) {
    for (let i = 0; i < labels.length; i++) {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += (features[i * d + k]! - means[labels[i]! * d + k]!) ** 2;
      distances[indices[i]!] = sum;
    }
  }
  return Int32Array.from(
    byClass.flatMap((indices) =>
      indices.sort((a, b) => distances[a]! - distances[b]! || a - b).slice(0, ipc),
    ),
  );
}

/** Mean feature of each class, C × d. */
export async function classMeans(real: FeatureRows, classes: number): Promise<Float64Array> {
  const d = real.featureSize;
  const means = new Float64Array(classes * d);
  const counts = new Int32Array(classes);
  for await (const { features, labels } of sequentialBatches(real)) {
    for (let i = 0; i < labels.length; i++) {
      const at = labels[i]! * d;
      for (let k = 0; k < d; k++) means[at + k]! += features[i * d + k]!;
      counts[labels[i]!]!++;
    }
  }
  for (let c = 0; c < classes; c++) for (let k = 0; k < d; k++) means[c * d + k]! /= counts[c]!;
  return means;
}

function indicesByClass(labels: Int32Array, classes: number, ipc: number): number[][] {
  const byClass = Array.from({ length: classes }, (): number[] => []);
  for (let i = 0; i < labels.length; i++) byClass[labels[i]!]!.push(i);
  for (const [c, indices] of byClass.entries()) {
    if (indices.length < ipc) {
      throw new DataError(
        `Class ${c} has ${indices.length} images, ${ipc} per class were asked for. Lower --ipc.`,
      );
    }
  }
  return byClass;
}
