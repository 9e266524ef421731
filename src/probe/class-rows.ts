import { DataError } from "../errors.ts";
import { type FeatureRows, featuresInMemory } from "./rows.ts";

/** Bytes of one class's features that are held while its images are chosen; more is read from the cache pass by pass. */
const classMemory = 256 * 2 ** 20;

/** Rows of each class, in order. Throws DataError for a class with fewer than `ipc`. */
export function indicesByClass(labels: Int32Array, classes: number, ipc: number): number[][] {
  const byClass = Array.from({ length: classes }, (): number[] => []);
  for (let i = 0; i < labels.length; i++) byClass[labels[i]!].push(i);
  for (const [c, indices] of byClass.entries()) {
    if (indices.length < ipc) {
      throw new DataError(
        `Class ${c} has ${indices.length} images, ${ipc} per class were asked for. Lower \`ipc\`.`,
      );
    }
  }
  return byClass;
}

/** The rows `indices` of `real` as separate features: in memory where they fit, else read when asked for. */
export async function subsetOf(
  real: FeatureRows,
  indices: readonly number[],
  memoryBytes = classMemory,
): Promise<FeatureRows> {
  const wanted = Int32Array.from(indices);
  const labels = wanted.map((i) => real.labels[i]);
  const { featureSize } = real;
  if (wanted.length * featureSize * 4 <= memoryBytes) {
    const features = new Float32Array(wanted.length * featureSize);
    await real.rows(wanted, features);
    return featuresInMemory(features, labels);
  }
  return {
    count: wanted.length,
    featureSize,
    labels,
    rows: (rows, out) =>
      real.rows(
        Int32Array.from(rows, (i) => wanted[i]),
        out,
      ),
  };
}

/** Chooses `ipc` images of each class by a function of the class's features; rows of `real`, in class order. */
export async function chooseByClass(
  real: FeatureRows,
  classes: number,
  ipc: number,
  choose: (rows: FeatureRows, classIndex: number) => Promise<readonly number[]>,
  options: {
    readonly memoryBytes?: number | undefined;
    readonly onClass?: ((c: number) => void) | undefined;
  } = {},
): Promise<Int32Array> {
  const chosen = new Int32Array(classes * ipc);
  for (const [c, indices] of indicesByClass(real.labels, classes, ipc).entries()) {
    const picked = await choose(await subsetOf(real, indices, options.memoryBytes), c);
    for (const [i, row] of picked.entries()) chosen[c * ipc + i] = indices[row];
    options.onClass?.(c);
  }
  return chosen;
}
