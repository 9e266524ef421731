import { featureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
import { blockOf, type Matrix } from "../probe/matrix.ts";
import type { LabeledFeatures } from "../probe/rows.ts";
import { seededRandom } from "../random.ts";

/** How much two encoders agree on which images are alike. */
export interface Alignment {
  /** Mean share of an image's nearest neighbors that both encoders give it, from 0 to 1. */
  readonly alignment: number;
  /** Standard error of that mean over the images. */
  readonly error: number;
  /** What encoders that have nothing in common would have: neighbors / (images − 1). */
  readonly chance: number;
}

/** Images whose similarities are computed at a time. */
const blockRows = 256;
const unit = featureMap({ normalization: "l2" });

/** `most` of `count` rows, or all where there are fewer, drawn without replacement, in order. */
export function sampledRows(count: number, most: number, seed = 0): Int32Array {
  const rows = Int32Array.from({ length: count }, (_, i) => i);
  const random = seededRandom(seed, "alignment");
  const taken = Math.min(count, most);
  for (let i = 0; i < taken; i++) {
    const j = i + random.below(count - i);
    [rows[i], rows[j]] = [rows[j], rows[i]];
  }
  return rows.slice(0, taken).sort();
}

/**
 * The `neighbors` most similar of the other images of each image, by the cosine of raw features; of equally similar ones
 * the first. Memory: the features of `rows`, and `blockRows` rows of similarities.
 * @param rows images that take part
 * @returns rows.length × neighbors places in `rows`, each image's in no particular order
 */
export async function nearestImages(
  features: LabeledFeatures,
  rows: Int32Array,
  neighbors: number,
  gemm: Gemm,
): Promise<Int32Array> {
  const count = rows.length;
  const d = features.featureSize;
  const raw = new Float32Array(count * d);
  await features.rows(rows, raw);
  const all = unit.apply(raw, count).values;
  const nearest = new Int32Array(count * neighbors);
  for (let start = 0; start < count; start += blockRows) {
    const height = Math.min(blockRows, count - start);
    const similar = await gemm.multiply(blockOf(all, start, 0, height, d), all, { transB: true });
    for (let i = 0; i < height; i++) {
      nearest.set(largest(similar, i, start + i, neighbors), (start + i) * neighbors);
    }
  }
  return nearest;
}

/** Columns of the largest numbers in a row, without column `self`. */
function largest({ cols, data }: Matrix, row: number, self: number, neighbors: number): Int32Array {
  const best = new Int32Array(neighbors).fill(-1);
  const values = new Float64Array(neighbors).fill(Number.NEGATIVE_INFINITY);
  for (let j = 0; j < cols; j++) {
    const value = data[row * cols + j];
    if (j === self || value <= values[neighbors - 1]) continue;
    let at = neighbors - 1;
    for (; at > 0 && values[at - 1] < value; at--) {
      values[at] = values[at - 1];
      best[at] = best[at - 1];
    }
    values[at] = value;
    best[at] = j;
  }
  return best;
}

/**
 * Mutual k-nearest-neighbor alignment (Huh et al., "The Platonic Representation Hypothesis", 2024) from the neighbors of the
 * same images under two encoders, images × neighbors each.
 */
export function alignmentOf(a: Int32Array, b: Int32Array, neighbors: number): Alignment {
  const count = a.length / neighbors;
  let sum = 0;
  let squares = 0;
  for (let at = 0; at < a.length; at += neighbors) {
    const own = new Set(a.subarray(at, at + neighbors));
    let shared = 0;
    for (const image of b.subarray(at, at + neighbors)) if (own.has(image)) shared++;
    sum += shared / neighbors;
    squares += (shared / neighbors) ** 2;
  }
  const mean = sum / count;
  const variance = Math.max(0, squares / count - mean ** 2) * (count / Math.max(1, count - 1));
  return { alignment: mean, error: Math.sqrt(variance / count), chance: neighbors / (count - 1) };
}
