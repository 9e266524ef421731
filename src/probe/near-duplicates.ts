import { seededRandom } from "../random.ts";
import type { FeatureMap } from "./feature-map.ts";
import { type Gemm, jsGemm } from "./gemm.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";

/** Two rows that are nearly the same. Rows of several sources are counted on from one to the next. */
export interface SimilarPair {
  readonly first: number;
  readonly second: number;
  /** Cosine of the mapped features. */
  readonly similarity: number;
}

/** Hash tables: of pairs at a cosine of 0.95, 99 % meet in one of them. */
const tables = 16;
/** Rows that share a bucket, on average; more make the search slower and no more exact. */
const rowsPerBucket = 16;
/** In a bucket of more, a row is compared with so many that follow it. */
const mostInBucket = 256;
/** Standard deviations of differing signs, above what the cosine lets expect, up to which a pair is looked at exactly. */
const signDeviations = 5;
/** Pairs that are looked at exactly at a time, and in all: of many copies of one image not every pair is named. */
const pairsAtOnce = 4096;
const mostPairs = 200_000;

/**
 * Pairs of rows whose mapped features have a cosine of at least `least`, the most similar first. Rows are hashed by the signs
 * of random projections (Charikar 2002) and compared where they agree, so that time grows with the rows, not their square.
 */
export async function similarPairs(
  sources: readonly FeatureRows[],
  map: FeatureMap,
  least: number,
  gemm: Gemm = jsGemm,
): Promise<SimilarPair[]> {
  const count = sources.reduce((sum, { count }) => sum + count, 0);
  const bits = Math.min(24, Math.max(1, Math.ceil(Math.log2(count / rowsPerBucket))));
  const signatures = await signaturesOf(sources, map, bits, gemm);
  const read = reader(sources, map);
  // Signs differ with probability angle / π: pairs of many more differing ones are not that similar.
  const share = Math.acos(Math.min(1, least)) / Math.PI;
  const signs = tables * bits;
  const mostDiffering = signs * share + signDeviations * Math.sqrt(signs * Math.max(share, 1 / signs));
  const seen = new Set<number>();
  const found: SimilarPair[] = [];
  let waiting: [number, number][] = [];
  const look = async () => {
    const rows = [...new Set(waiting.flat())].sort((a, b) => a - b);
    const place = new Map(rows.map((row, at) => [row, at]));
    const Z = await read(rows);
    for (const [first, second] of waiting) {
      const similarity = product(Z, place.get(first)!, place.get(second)!);
      if (similarity >= least) found.push({ first, second, similarity });
    }
    waiting = [];
  };
  for (let table = 0; table < tables; table++) {
    const buckets = new Map<number, number[]>();
    for (let row = 0; row < count; row++) {
      const key = signatures[row * tables + table];
      const bucket = buckets.get(key);
      if (bucket === undefined) buckets.set(key, [row]);
      else bucket.push(row);
    }
    for (const bucket of buckets.values()) {
      for (let a = 0; a < bucket.length && seen.size < mostPairs; a++) {
        for (let b = a + 1; b < Math.min(bucket.length, a + mostInBucket); b++) {
          const [first, second] = [bucket[a], bucket[b]];
          if (differing(signatures, first, second) > mostDiffering) continue;
          const key = first * count + second;
          if (seen.has(key)) continue;
          seen.add(key);
          waiting.push([first, second]);
        }
        if (waiting.length >= pairsAtOnce) await look();
      }
    }
  }
  if (waiting.length > 0) await look();
  return found.sort((a, b) => b.similarity - a.similarity || a.first - b.first || a.second - b.second);
}

/** How many signs of two rows differ. */
function differing(signatures: Int32Array, a: number, b: number): number {
  let sum = 0;
  for (let table = 0; table < tables; table++) {
    let x = signatures[a * tables + table] ^ signatures[b * tables + table];
    x -= (x >>> 1) & 0x55555555;
    x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
    sum += Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return sum;
}

/** Signs of random projections, `bits` of them in each of the tables, n × tables. */
async function signaturesOf(
  sources: readonly FeatureRows[],
  map: FeatureMap,
  bits: number,
  gemm: Gemm,
): Promise<Int32Array> {
  const d = sources[0].featureSize;
  const random = seededRandom(0, "near duplicates");
  const directions = matrix(
    d,
    tables * bits,
    Float64Array.from({ length: d * tables * bits }, () => random.normal()),
  );
  const out = new Int32Array(sources.reduce((sum, { count }) => sum + count, 0) * tables);
  let row = 0;
  for (const source of sources) {
    for await (const { features, labels } of sequentialBatches(source)) {
      const projected = await gemm.multiply(map.apply(features, labels.length).values, directions);
      for (let i = 0; i < labels.length; i++, row++) {
        for (let k = 0; k < tables * bits; k++) {
          const at = row * tables + Math.floor(k / bits);
          out[at] = (out[at] << 1) | (projected.data[i * directions.cols + k] > 0 ? 1 : 0);
        }
      }
    }
  }
  return out;
}

/** Reads mapped rows, each divided by its norm. */
function reader(sources: readonly FeatureRows[], map: FeatureMap) {
  return async (rows: readonly number[]): Promise<Matrix> => {
    const d = sources[0].featureSize;
    const features = new Float32Array(rows.length * d);
    let start = 0;
    let filled = 0;
    for (const source of sources) {
      // Rows are in order, so that those of a source are together.
      const own = rows.filter((row) => row >= start && row < start + source.count);
      const part = features.subarray(filled * d, (filled + own.length) * d);
      if (own.length > 0)
        await source.rows(
          Int32Array.from(own, (row) => row - start),
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
