import { DataError } from "../errors.ts";
import type { Item } from "../images/types.ts";

/** The parts of a data set. What an encoder's features are judged on is `test`. */
export type Split = "train" | "val" | "test";

/** The images of one split, made one at a time: a list of a million costs what its names cost. */
export interface ImageList {
  readonly length: number;
  /** Class index of every image. */
  readonly labels: Int32Array;
  /** Group index of every image, where the data set has groups. */
  readonly groups?: Int32Array;
  /** The image at `index`, 0 ≤ index < length. Throws RangeError outside of that. */
  at(index: number): Item;
}

/** Under which license images may be passed on, and whom to name. */
export interface SourceLicense {
  readonly name: string;
  readonly author: string;
  /** SPDX identifier. */
  readonly spdx: string;
  readonly url: string;
}

/**
 * A labeled image data set, streamed: opening it reads names and labels, never pixels. Every data set is one
 * of these, whatever it is stored in; what reads images knows nothing else about it.
 */
export interface ImageSource {
  /** Names the data set to a person. */
  readonly name: string;
  readonly classes: readonly string[];
  readonly splits: readonly Split[];
  /** Names of the groups `Item.group` counts in, where the data set has groups. */
  readonly groups?: readonly string[];
  /** What a person should know about how the data set was read, one sentence each; to be shown. */
  readonly notes: readonly string[];
  /** Licenses of the images, where they are known; every set that is made from them must name them. */
  readonly licenses?: readonly SourceLicense[];
  /** The images of a split. Throws DataError when the data set has no such split. */
  images(split: Split): ImageList;
  /**
   * A hexadecimal sha256 that changes when the split's images do. What goes into it is said by each source; the
   * order, ids and labels always do.
   */
  fingerprint(split: Split): Promise<string>;
}

/** How many images of each class a split has. */
export function classCounts(source: ImageSource, split: Split): Int32Array {
  const counts = new Int32Array(source.classes.length);
  for (const label of source.images(split).labels) counts[label] = counts[label] + 1;
  return counts;
}

/** Throws DataError unless `split` is one of the source's. */
export function requireSplit(source: Pick<ImageSource, "name" | "splits">, split: Split): void {
  if (source.splits.includes(split)) return;
  throw new DataError(`${source.name} has no ${split} split; it has ${source.splits.join(" and ")}.`);
}

/** "a, b and c", or the first few "and 12 more". */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.length > most ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
