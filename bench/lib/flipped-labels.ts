import { seededRandom } from "../../src/random.ts";

/** Labels of which some were moved to another class at random, and the rows of these. */
export interface FlippedLabels {
  readonly wrong: ReadonlySet<number>;
  readonly labels: Int32Array;
}

/** Flips `rate` of the labels. */
export function flipLabels(labels: Int32Array, classes: number, rate: number, seed: number): FlippedLabels {
  const random = seededRandom(seed, `flip ${rate}`);
  const wrong = new Set<number>();
  const out = labels.slice();
  while (wrong.size < Math.floor(rate * labels.length)) {
    const row = Math.floor(random.uniform() * labels.length);
    if (wrong.has(row)) continue;
    wrong.add(row);
    out[row] = (labels[row]! + 1 + Math.floor(random.uniform() * (classes - 1))) % classes;
  }
  return { wrong, labels: out };
}

/** Average precision of a ranking over all that is wrong: what is not in the ranking is never found. */
export function averagePrecision(ranked: readonly number[], wrong: ReadonlySet<number>): number {
  let found = 0;
  let sum = 0;
  for (const [i, row] of ranked.entries()) if (wrong.has(row)) sum += ++found / (i + 1);
  return sum / wrong.size;
}
