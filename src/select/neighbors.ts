import { chooseByClass } from "../probe/class-rows.ts";
import { featureMap } from "../probe/feature-map.ts";
import { type FeatureRows, sequentialBatches } from "../probe/rows.ts";

const unit = featureMap({ normalization: "l2" });

/**
 * The real images of the same class that are nearest to each synthetic one in feature space, in angle: a
 * distilled image's features may be shorter than any real one's. Rows of `real`, in class order. Each real
 * image stands for one synthetic image at most: the closest pairs of a class are matched first.
 * @param synthetic features of the synthetic images, (classes · ipc) × d, in class order
 */
export function neighborImages(
  real: FeatureRows,
  classes: number,
  ipc: number,
  synthetic: Float32Array,
  options: { readonly memoryBytes?: number; readonly onClass?: (c: number) => void } = {},
): Promise<Int32Array> {
  const d = real.featureSize;
  return chooseByClass(
    real,
    classes,
    ipc,
    (rows, c) => nearest(rows, synthetic.subarray(c * ipc * d, (c + 1) * ipc * d), ipc),
    options,
  );
}

interface Pair {
  readonly image: number;
  readonly row: number;
  readonly distance: number;
}

async function nearest(rows: FeatureRows, synthetic: Float32Array, ipc: number): Promise<number[]> {
  const d = rows.featureSize;
  const wanted = unit.apply(synthetic, ipc).values.data;
  // Of each synthetic image the `ipc` nearest are enough: the others can take ipc − 1 of them.
  const candidates = Array.from({ length: ipc }, (): Pair[] => []);
  for await (const { features, indices } of sequentialBatches(rows)) {
    const { data } = unit.apply(features, indices.length).values;
    for (const [i, row] of indices.entries()) {
      for (let image = 0; image < ipc; image++) {
        let distance = 0;
        for (let j = 0; j < d; j++) distance += (data[i * d + j] - wanted[image * d + j]) ** 2;
        const known = candidates[image];
        if (known.length === ipc && distance >= known.at(-1)!.distance) continue;
        const at = known.findIndex((pair) => distance < pair.distance);
        known.splice(at < 0 ? known.length : at, 0, { image, row, distance });
        known.length = Math.min(known.length, ipc);
      }
    }
  }
  const chosen = new Array<number>(ipc).fill(-1);
  const taken = new Set<number>();
  for (const { image, row } of candidates.flat().sort((a, b) => a.distance - b.distance)) {
    if (chosen[image] >= 0 || taken.has(row)) continue;
    chosen[image] = row;
    taken.add(row);
  }
  return chosen;
}
