import { type Random, seededRandom } from "../random.ts";

/** Training rows apart, both parts in order: a setting is chosen on `held` after a fit on `fit`. */
export interface HeldOut {
  readonly fit: readonly number[];
  readonly held: readonly number[];
}

/** Of more rows, a draw for each alone leaves both parts with enough of every class. */
const fewRows = 2000;

/**
 * One row in `share` is held out, drawn at random: row by row where there are many, of each class where there are
 * few, and then at least one of every class that has two. With one row per class, both parts are all rows.
 * @param labels class of each row
 * @param purpose distinguishes the draws of several splits
 */
export function splitOf(labels: Int32Array, share: number, purpose: string): HeldOut {
  const random = seededRandom(0, purpose);
  const isHeld =
    labels.length > fewRows ? drawnByRow(labels, share, random) : drawnByClass(labels, share, random);
  const fit: number[] = [];
  const held: number[] = [];
  for (const [i, out] of isHeld.entries()) (out ? held : fit).push(i);
  return { fit, held: held.length === 0 ? fit : held };
}

function drawnByRow(labels: Int32Array, share: number, random: Random): boolean[] {
  return Array.from(labels, () => random.uniform() * share < 1);
}

function drawnByClass(labels: Int32Array, share: number, random: Random): boolean[] {
  const isHeld = Array.from(labels, () => false);
  for (const label of new Set(labels)) {
    const left = [...labels.keys()].filter((i) => labels[i] === label);
    const count = left.length < 2 ? 0 : Math.max(1, Math.round(left.length / share));
    for (let k = 0; k < count; k++) {
      const [row] = left.splice(random.below(left.length), 1);
      isHeld[row!] = true;
    }
  }
  return isHeld;
}
