import type { FeatureMap } from "./feature-map.ts";
import { type Gemm, jsGemm } from "./gemm.ts";
import type { Matrix } from "./matrix.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";
import { closestPairs, projectionCount, projections, type Signatures } from "./signatures.ts";

/** Two rows that are nearly the same. Rows of several sources are counted on from one to the next. */
export interface SimilarPair {
  readonly first: number;
  readonly second: number;
  /** Cosine of the mapped features. */
  readonly similarity: number;
}

/** What a search for similar pairs gives. */
export interface SimilarPairs {
  /** The most similar first. */
  readonly pairs: readonly SimilarPair[];
  /**
   * The cosine down to which pairs were looked at: what was asked for, or more where so many pairs are similar that only the
   * closest of them are kept.
   */
  readonly from: number;
}

/** Up to so many pairs are all compared: hashing is for larger sets. */
const fewPairs = 50_000;

const rowCount = (sources: readonly FeatureRows[]): number =>
  sources.reduce((sum, { count }) => sum + count, 0);
const pairCount = (rows: number): number => (rows * (rows - 1)) / 2;

/** Whether rows are so few that each is compared with all others. */
export const comparesAll = (sources: readonly FeatureRows[]): boolean =>
  pairCount(rowCount(sources)) <= fewPairs;

/** All pairs of few rows, as keys. */
function allPairs(count: number): Float64Array {
  const keys = new Float64Array(pairCount(count));
  let at = 0;
  for (let first = 0; first < count; first++)
    for (let second = first + 1; second < count; second++) keys[at++] = first * count + second;
  return keys;
}

/** Numbers of features that are read and held at a time to compare pairs exactly. */
const valuesAtOnce = 2 ** 23;

/**
 * Pairs of rows whose mapped features have a cosine of at least `least`, the most similar first and at most 200,000. Rows are
 * hashed by the signs of random projections (Charikar 2002) and compared where they agree, so that time grows with the rows,
 * not their square; of few rows all pairs are compared.
 */
export async function similarPairs(
  sources: readonly FeatureRows[],
  map: FeatureMap,
  least: number,
  gemm: Gemm = jsGemm,
): Promise<SimilarPairs> {
  const count = rowCount(sources);
  const { keys, from } = comparesAll(sources)
    ? { keys: allPairs(count), from: least }
    : closestPairs(await signaturesOf(sources, map, count, least, gemm), least);
  const read = reader(sources, map);
  const rowsAtOnce = Math.max(2, Math.floor(valuesAtOnce / sources[0].featureSize));
  const firstOf = (key: number): number => Math.floor(key / count);
  const found: SimilarPair[] = [];
  // Keys are in order, so that pairs of one row are together.
  for (let start = 0, end = 0; start < keys.length; start = end) {
    const rows = new Set<number>();
    for (; end < keys.length && (rows.size <= rowsAtOnce - 2 || end === start); end++) {
      const first = firstOf(keys[end]);
      rows.add(first).add(keys[end] - first * count);
    }
    const inOrder = Int32Array.from(rows).sort();
    const place = new Map(Array.from(inOrder, (row, at) => [row, at]));
    const Z = await read(inOrder);
    for (const key of keys.subarray(start, end)) {
      const first = firstOf(key);
      const second = key - first * count;
      const similarity = product(Z, place.get(first)!, place.get(second)!);
      if (similarity >= least) found.push({ first, second, similarity });
    }
  }
  found.sort((a, b) => b.similarity - a.similarity || a.first - b.first || a.second - b.second);
  return { pairs: found, from };
}

/** Signs of random projections of all rows. */
async function signaturesOf(
  sources: readonly FeatureRows[],
  map: FeatureMap,
  count: number,
  least: number,
  gemm: Gemm,
): Promise<Signatures> {
  const signs = projectionCount(count, least);
  const words = signs / 32;
  const directions = projections(sources[0].featureSize, signs);
  const data = new Int32Array(count * words);
  let at = 0;
  for (const source of sources) {
    for await (const { features, labels } of sequentialBatches(source)) {
      const projected = await gemm.multiply(map.apply(features, labels.length).values, directions);
      for (let k = 0; k < labels.length * signs; at++) {
        let word = 0;
        for (let bit = 0; bit < 32; bit++, k++) if (projected.data[k] > 0) word |= 1 << bit;
        data[at] = word;
      }
    }
  }
  return { data, words, count };
}

/** Reads mapped rows, which are asked for in order, each divided by its norm. */
function reader(sources: readonly FeatureRows[], map: FeatureMap) {
  return async (rows: Int32Array): Promise<Matrix> => {
    const d = sources[0].featureSize;
    const features = new Float32Array(rows.length * d);
    let start = 0;
    let filled = 0;
    for (const source of sources) {
      // Rows are in order, so that those of a source are together.
      const own = rows.filter((row) => row >= start && row < start + source.count);
      const part = features.subarray(filled * d, (filled + own.length) * d);
      const from = start;
      if (own.length > 0)
        await source.rows(
          own.map((row) => row - from),
          part,
        );
      filled += own.length;
      start += source.count;
    }
    const { values } = map.apply(features, rows.length);
    for (let i = 0; i < rows.length; i++) {
      const norm = Math.sqrt(product(values, i, i));
      if (norm > 0) for (let j = i * d; j < (i + 1) * d; j++) values.data[j] /= norm;
    }
    return values;
  };
}

function product({ cols, data }: Matrix, a: number, b: number): number {
  let sum = 0;
  for (let j = 0; j < cols; j++) sum += data[a * cols + j] * data[b * cols + j];
  return sum;
}
