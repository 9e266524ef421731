import { chooseByClass } from "../probe/class-rows.ts";
import { ClassSums } from "../probe/class-sums.ts";
import { type Gemm, jsGemm } from "../probe/gemm.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { type FeatureRows, sequentialBatches } from "../probe/rows.ts";
import { type Random, seededRandom } from "../random.ts";

export interface KMeansOptions {
  readonly gemm?: Gemm;
  /** Runs from new centers; the one of least inertia is kept. Default 5. */
  readonly restarts?: number;
  /** Lloyd iterations of a run, at most. Default 100. */
  readonly iterations?: number;
}

export interface Clustering {
  /** k × d. */
  readonly centers: Matrix;
  /** Cluster of each row. */
  readonly assignment: Int32Array;
  /** Squared distance of each row to its center. */
  readonly distances: Float64Array;
  /** Sum of the squared distances. */
  readonly inertia: number;
}

/**
 * A k-means coreset: for each class, the real image nearest to each of `ipc` k-means centers of its features
 * (k-means++, several restarts). Rows of `real`, in class order; no image is taken twice.
 */
export function kmeansImages(
  real: FeatureRows,
  classes: number,
  ipc: number,
  seed: number,
  options: KMeansOptions & { readonly memoryBytes?: number; readonly onClass?: (c: number) => void } = {},
): Promise<Int32Array> {
  return chooseByClass(
    real,
    classes,
    ipc,
    async (rows, c) =>
      nearestToCenters(await kmeans(rows, ipc, seededRandom(seed, `k-means, class ${c}`), options)),
    options,
  );
}

/**
 * Lloyd's k-means from k-means++ centers (Arthur & Vassilvitskii, 2007), squared Euclidean. Rows are read in
 * batches, pass by pass; an empty cluster is moved to the row that is farthest from its center.
 */
export async function kmeans(
  rows: FeatureRows,
  k: number,
  random: Random,
  { gemm = jsGemm, restarts = 5, iterations = 100 }: KMeansOptions = {},
): Promise<Clustering> {
  let best: Clustering | undefined;
  // One center is the mean, wherever one starts.
  for (let run = 0; run < (k === 1 ? 1 : restarts); run++) {
    let centers = await firstCenters(rows, k, random);
    let { assignment, distances } = await assign(rows, centers, gemm);
    for (let i = 0; i < iterations; i++) {
      centers = await means(rows, assignment, distances, k);
      const next = await assign(rows, centers, gemm);
      const settled = next.assignment.every((cluster, row) => cluster === assignment[row]);
      ({ assignment, distances } = next);
      if (settled) break;
    }
    const inertia = distances.reduce((sum, x) => sum + x, 0);
    if (best === undefined || inertia < best.inertia) best = { centers, assignment, distances, inertia };
  }
  return best!;
}

/** k-means++: each further center is a row drawn with probability proportional to its squared distance. */
async function firstCenters(rows: FeatureRows, k: number, random: Random): Promise<Matrix> {
  const { count, featureSize: d } = rows;
  const centers = matrix(k, d);
  const distances = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const row = new Float32Array(d);
  let chosen = random.below(count);
  for (let c = 0; ; c++) {
    await rows.rows(Int32Array.of(chosen), row);
    centers.data.set(row, c * d);
    if (c === k - 1) return centers;
    for await (const { features, indices } of sequentialBatches(rows)) {
      for (const [i, index] of indices.entries()) {
        let sum = 0;
        for (let j = 0; j < d; j++) sum += (features[i * d + j] - row[j]) ** 2;
        if (sum < distances[index]) distances[index] = sum;
      }
    }
    chosen = drawWeighted(distances, random);
  }
}

/** An index with probability proportional to its weight; any where all weights are zero. */
function drawWeighted(weights: Float64Array, random: Random): number {
  const total = weights.reduce((sum, w) => sum + w, 0);
  if (!(total > 0)) return random.below(weights.length);
  let left = random.uniform() * total;
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i];
    if (left < 0) return i;
  }
  return weights.findLastIndex((w) => w > 0);
}

async function assign(rows: FeatureRows, centers: Matrix, gemm: Gemm) {
  const { rows: k, cols: d } = centers;
  const assignment = new Int32Array(rows.count);
  const distances = new Float64Array(rows.count);
  const squares = Float64Array.from({ length: k }, (_, c) => squaredNorm(centers.data, c * d, d));
  for await (const { features, indices } of sequentialBatches(rows)) {
    const Z = matrix(indices.length, d, new Float64Array(features));
    const products = await gemm.multiply(Z, centers, { transB: true });
    for (const [i, index] of indices.entries()) {
      // ‖z − c‖² = ‖z‖² − 2 z·c + ‖c‖²; the first term is the same for every center.
      let nearest = 0;
      let least = Number.POSITIVE_INFINITY;
      for (let c = 0; c < k; c++) {
        const distance = squares[c] - 2 * products.data[i * k + c];
        if (distance < least) [nearest, least] = [c, distance];
      }
      assignment[index] = nearest;
      distances[index] = Math.max(0, least + squaredNorm(Z.data, i * d, d));
    }
  }
  return { assignment, distances };
}

async function means(
  rows: FeatureRows,
  assignment: Int32Array,
  distances: Float64Array,
  k: number,
): Promise<Matrix> {
  const d = rows.featureSize;
  const sums = new ClassSums(k, d);
  for await (const { features, indices } of sequentialBatches(rows)) {
    const Z = matrix(indices.length, d, new Float64Array(features));
    sums.add(
      Z,
      Int32Array.from(indices, (i) => assignment[i]),
    );
  }
  const centers = sums.means();
  const far = Float64Array.from(distances);
  for (let c = 0; c < k; c++) {
    if (sums.counts[c] > 0) continue;
    const row = far.reduce((most, x, i) => (x > far[most] ? i : most), 0);
    far[row] = 0;
    const features = new Float32Array(d);
    await rows.rows(Int32Array.of(row), features);
    centers.data.set(features, c * d);
  }
  return centers;
}

/** The nearest row of each cluster; clusters are disjoint, so no row comes twice. */
function nearestToCenters({ centers, assignment, distances }: Clustering): number[] {
  const nearest = new Array<number>(centers.rows).fill(-1);
  for (const [row, cluster] of assignment.entries()) {
    const known = nearest[cluster];
    if (known < 0 || distances[row] < distances[known]) nearest[cluster] = row;
  }
  // Fewer different features than clusters leave some empty: any other image of the class fills them.
  const taken = new Set(nearest);
  let next = 0;
  return nearest.map((row) => {
    if (row >= 0) return row;
    while (taken.has(next)) next++;
    taken.add(next);
    return next;
  });
}

function squaredNorm(data: Float64Array, from: number, length: number): number {
  let sum = 0;
  for (let i = from; i < from + length; i++) sum += data[i] * data[i];
  return sum;
}
