/**
 * Pairs of rows that point in similar directions, found by the signs of random projections (Charikar 2002): two signs of rows at
 * an angle θ differ with probability θ / π. Some of the signs are a row's key in each of several hash tables; pairs that share a
 * bucket are compared by all of their signs.
 */
import { seededRandom } from "../random.ts";
import { type Matrix, matrix } from "./matrix.ts";

/** Signs of the projections of rows, as bits: `words` numbers of 32 for each row. */
export interface Signatures {
  readonly data: Int32Array;
  readonly words: number;
  readonly count: number;
}

/** Hash tables: of pairs at a cosine of 0.95, 99 % meet in one of them. */
const tables = 16;
/** Rows that share a bucket, on average; more make the search slower and no more exact. */
const rowsPerBucket = 16;
/** Where fewer of the pairs at the least cosine meet, rows are compared with those of buckets that differ in one sign, too. */
const enoughMeet = 0.95;
/** In a bucket of more, a row is compared with so many that follow it; and with so many of each other bucket. */
const mostInBucket = 256;
const mostInOther = 64;
/** Signs where buckets say little, so that pairs are chosen by their signs. */
const signsForFar = 512;
/**
 * Standard deviations of differing signs, above what the cosine lets expect, up to which a pair is kept; fewer where buckets say
 * little, since most pairs that meet there are not similar.
 */
const signDeviations = 3;
const signDeviationsForFar = 2;
/** Pairs that are kept: of many copies of one image not every pair is named. */
export const mostPairs = 200_000;

const keyBits = (count: number): number =>
  Math.min(24, Math.max(1, Math.ceil(Math.log2(count / rowsPerBucket))));

/** Probability that a sign of two rows differs. */
const differingShare = (cosine: number): number => Math.acos(Math.min(1, Math.max(-1, cosine))) / Math.PI;

/** Whether buckets that differ in a sign are searched as well. */
function searchesOthers(count: number, least: number): boolean {
  const meet = (1 - differingShare(least)) ** keyBits(count);
  return 1 - (1 - meet) ** tables < enoughMeet;
}

/** How many projections a search takes; whole words of 32. */
export function projectionCount(count: number, least: number): number {
  const signs = Math.max(tables * keyBits(count), searchesOthers(count, least) ? signsForFar : 0);
  return 32 * Math.ceil(signs / 32);
}

/** Random directions to project features on, d × signs. */
export function projections(d: number, signs: number): Matrix {
  const random = seededRandom(0, "near duplicates");
  return matrix(
    d,
    signs,
    Float64Array.from({ length: d * signs }, () => random.normal()),
  );
}

/** Signs that may differ in a pair at a cosine: some standard deviations more than expected. */
function mostDiffering(signs: number, cosine: number, deviations: number): number {
  const share = Math.max(differingShare(cosine), 1 / signs);
  const most = signs * share + deviations * Math.sqrt(signs * share * (1 - share));
  return Math.min(signs, Math.floor(most));
}

/** The least cosine, of at least `least`, at which pairs are within a bound on the signs that differ. */
function cosineWithin(bound: number, signs: number, least: number, deviations: number): number {
  let [low, high] = [least, 1];
  for (let k = 0; k < 30; k++) {
    const middle = (low + high) / 2;
    if (mostDiffering(signs, middle, deviations) > bound) low = middle;
    else high = middle;
  }
  return high;
}

/**
 * Pairs that may have a cosine of at least `least`, as first · count + second in ascending order, first < second; of more than
 * `mostPairs` the closest. `from` is the cosine down to which pairs were kept.
 */
export function closestPairs(
  signatures: Signatures,
  least: number,
  most: number = mostPairs,
): { readonly keys: Float64Array; readonly from: number } {
  const { data, words, count } = signatures;
  const bits = keyBits(count);
  const signs = 32 * words;
  const others = searchesOthers(count, least);
  const deviations = others ? signDeviationsForFar : signDeviations;
  const allowed = mostDiffering(signs, least, deviations);
  const kept = new ClosestPairs(signatures, allowed, most);
  // Most pairs are told apart by some of the signs.
  const some = Math.ceil(words / 4);
  const allowedOfSome = mostDiffering(32 * some, least, signDeviations);
  const meet = (a: number, b: number): void => {
    if (differing(data, words, a, b, allowedOfSome, some) > allowedOfSome) return;
    if (differing(data, words, a, b, kept.bound) <= kept.bound) kept.add(Math.min(a, b), Math.max(a, b));
  };
  for (let table = 0; table < tables && !kept.full; table++) {
    const { starts, rows } = bucketsOf(signatures, table * bits, bits);
    for (let key = 0; key < starts.length - 1 && !kept.full; key++) {
      const end = starts[key + 1];
      for (let a = starts[key]; a < end; a++) {
        const until = Math.min(end, a + mostInBucket);
        for (let b = a + 1; b < until; b++) meet(rows[a], rows[b]);
        if (!others) continue;
        for (let bit = 1; bit < starts.length - 1; bit <<= 1) {
          // Of two buckets, the one without the bit looks into the other.
          if ((key & bit) !== 0) continue;
          const size = starts[key + bit + 1] - starts[key + bit];
          // Of a large bucket, others for each row.
          const skipped = size > mostInOther ? a % (size - mostInOther + 1) : 0;
          const first = starts[key + bit] + skipped;
          const last = first + Math.min(size, mostInOther);
          for (let b = first; b < last; b++) meet(rows[a], rows[b]);
        }
      }
    }
  }
  const keys = kept.all();
  if (kept.full) return { keys, from: 1 };
  return { keys, from: kept.bound < allowed ? cosineWithin(kept.bound, signs, least, deviations) : least };
}

/** Pairs by their keys; where they become too many, the bound on differing signs is lowered. */
class ClosestPairs {
  /** Signs that may differ in a pair. */
  bound: number;
  /** Whether more pairs than are kept agree in all signs that any pair agrees in: no bound tells them apart. */
  full = false;
  readonly #signatures: Signatures;
  readonly #most: number;
  readonly #keys: Float64Array;
  #size = 0;

  constructor(signatures: Signatures, bound: number, most: number) {
    this.#signatures = signatures;
    this.bound = bound;
    this.#most = most;
    this.#keys = new Float64Array(2 * most);
  }

  add(first: number, second: number): void {
    if (this.full) return;
    this.#keys[this.#size++] = first * this.#signatures.count + second;
    if (this.#size === this.#keys.length) this.#tidy();
  }

  all(): Float64Array {
    this.#tidy();
    return this.#keys.slice(0, this.#size);
  }

  /** Pairs that met in several tables are kept once, and of too many the closest. */
  #tidy(): void {
    const keys = this.#keys.subarray(0, this.#size).sort();
    let unique = 0;
    for (const key of keys) if (unique === 0 || key !== keys[unique - 1]) keys[unique++] = key;
    this.#size = unique;
    if (unique <= this.#most) return;
    const { data, words, count } = this.#signatures;
    const distances = Int32Array.from(keys.subarray(0, unique), (key) => {
      const first = Math.floor(key / count);
      return differing(data, words, first, key - first * count, this.bound);
    });
    const numbers = new Int32Array(this.bound + 1);
    for (const distance of distances) numbers[distance]++;
    let bound = numbers.findIndex((number) => number > 0);
    let within = numbers[bound];
    this.full = within > this.#most;
    while (bound < this.bound && within + numbers[bound + 1] <= this.#most) within += numbers[++bound];
    let size = 0;
    for (let at = 0; at < unique && size < this.#most; at++) {
      if (distances[at] <= bound) keys[size++] = keys[at];
    }
    this.#size = size;
    this.bound = bound;
  }
}

/** Rows sorted by the `bits` signs from `start` on: those of a key are from `starts[key]` to `starts[key + 1]`. */
function bucketsOf({ data, words, count }: Signatures, start: number, bits: number) {
  const word = start >>> 5;
  const offset = start & 31;
  const keys = new Int32Array(count);
  const starts = new Int32Array(2 ** bits + 1);
  for (let row = 0; row < count; row++) {
    let key = data[row * words + word] >>> offset;
    if (offset + bits > 32) key |= data[row * words + word + 1] << (32 - offset);
    keys[row] = key & (2 ** bits - 1);
    starts[keys[row] + 1]++;
  }
  for (let key = 0; key < starts.length - 1; key++) starts[key + 1] += starts[key];
  const next = starts.slice();
  const rows = new Int32Array(count);
  for (let row = 0; row < count; row++) rows[next[keys[row]]++] = row;
  return { starts, rows };
}

/** How many signs of two rows differ, in all of their words or the first `of` of them; beyond `most`, some number above it. */
function differing(data: Int32Array, words: number, a: number, b: number, most: number, of = words): number {
  let sum = 0;
  const end = a * words + of;
  for (let i = a * words, j = b * words; i < end && sum <= most; i++, j++) {
    let x = data[i] ^ data[j];
    x -= (x >>> 1) & 0x55555555;
    x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
    sum += Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return sum;
}
