import { chooseByClass } from "../probe/class-rows.ts";
import { ClassSums } from "../probe/class-sums.ts";
import { featureMap } from "../probe/feature-map.ts";
import { type FeatureRows, sequentialBatches } from "../probe/rows.ts";

const unit = featureMap({ normalization: "l2" });

/**
 * A herding coreset (Welling, 2009) as iCaRL (arXiv 1611.07725) draws its exemplars: features φ are
 * L2-normalized, and the k-th image of a class is the one that brings the mean of the first k nearest to the
 * class mean μ: argmin ‖μ − (φ(x) + Σ_{j<k} φ(x_j))/k‖. Rows of `real`, in class order; `ipc` passes over each
 * class.
 */
export function herdingImages(
  real: FeatureRows,
  classes: number,
  ipc: number,
  options: { readonly memoryBytes?: number; readonly onClass?: (c: number) => void } = {},
): Promise<Int32Array> {
  return chooseByClass(real, classes, ipc, (rows) => herd(rows, ipc), options);
}

async function herd(rows: FeatureRows, count: number): Promise<number[]> {
  const d = rows.featureSize;
  const sums = new ClassSums(1, d);
  for await (const { features, indices } of sequentialBatches(rows)) {
    sums.add(unit.apply(features, indices.length).values, new Int32Array(indices.length));
  }
  const mean = sums.means().data;
  const chosen: number[] = [];
  const sum = new Float64Array(d);
  for (let k = 1; k <= count; k++) {
    // ‖μ − (φ + S)/k‖² is least where ‖φ‖² − 2⟨φ, kμ − S⟩ is.
    const wanted = mean.map((x, j) => k * x - sum[j]);
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    let bestFeatures = sum;
    for await (const { features, indices } of sequentialBatches(rows)) {
      const { data } = unit.apply(features, indices.length).values;
      for (const [i, index] of indices.entries()) {
        let score = 0;
        for (let j = 0; j < d; j++) score += data[i * d + j] * (data[i * d + j] - 2 * wanted[j]);
        if (score >= least || chosen.includes(index)) continue;
        [best, least] = [index, score];
        bestFeatures = data.slice(i * d, (i + 1) * d);
      }
    }
    chosen.push(best);
    for (let j = 0; j < d; j++) sum[j] += bestFeatures[j];
  }
  return chosen;
}
