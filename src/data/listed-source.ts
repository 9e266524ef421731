import { createHash, type Hash } from "node:crypto";
import { join } from "node:path";
import { DataError } from "../errors.ts";
import type { Item } from "../images/types.ts";
import { digestFiles, fileItem } from "./file-item.ts";
import { type ImageList, type ImageSource, requireSplit, type Split } from "./image-source.ts";

/** A split: its images, and what beside their ids, labels and groups distinguishes them from others. */
export interface ListedSplit {
  readonly images: ImageList;
  /** Feeds ids, labels, groups and whatever shows that the images are these into a fingerprint. */
  digest(digest: Hash): Promise<void>;
}

/** All of a data set that was read from lists: names, labels, where the bytes are. */
export interface Listing {
  readonly name: string;
  /** Names the format, and what the fingerprint covers; part of the fingerprint. */
  readonly format: string;
  /** What the fingerprint starts with, where that is not the format, classes and groups. */
  readonly head?: readonly unknown[];
  readonly classes: readonly string[];
  readonly groups?: readonly string[];
  readonly notes?: readonly string[];
  readonly splits: ReadonlyMap<Split, ListedSplit>;
}

/** The source of a listing. Throws DataError when a split has no image or there are fewer than two classes. */
export function listedSource(listing: Listing): ImageSource {
  const { name, format, classes, groups, notes = [], splits } = listing;
  const head = listing.head ?? [format, classes, groups ?? null];
  if (classes.length < 2) {
    throw new DataError(
      `${name} has ${classes.length} class${classes.length === 1 ? "" : "es"}; a classifier needs at least two.`,
    );
  }
  for (const [split, { images }] of splits) {
    if (images.length === 0) throw new DataError(`${name}: its ${split} split has no image.`);
  }
  /** Asked for more than once in a run, and a million files are long to look at. */
  const fingerprints = new Map<Split, Promise<string>>();
  const fingerprint = async (split: Split): Promise<string> => {
    const digest = createHash("sha256");
    digest.update(JSON.stringify(head));
    await splits.get(split)!.digest(digest);
    return digest.digest("hex");
  };
  const source = {
    name,
    classes,
    notes,
    splits: [...splits.keys()],
    ...(groups ? { groups } : {}),
    images(split: Split) {
      requireSplit(source, split);
      return splits.get(split)!.images;
    },
    async fingerprint(split: Split) {
      requireSplit(source, split);
      const known = fingerprints.get(split) ?? fingerprint(split);
      fingerprints.set(split, known);
      known.catch(() => fingerprints.delete(split));
      return known;
    },
  };
  return source;
}

/** Images as they are collected: paths under a root, with `/`. */
export class FileRecords {
  readonly paths: string[] = [];
  readonly labels: number[] = [];
  readonly groups: number[] = [];

  add(path: string, label: number, group?: number): void {
    this.paths.push(path);
    this.labels.push(label);
    if (group !== undefined) this.groups.push(group);
  }
}

/** A split of images that are files under `root`; their ids are their paths. */
export function fileSplit(root: string, { paths, labels, groups }: FileRecords): ListedSplit {
  const grouped = groups.length > 0 ? Int32Array.from(groups) : undefined;
  const images = imageList(Int32Array.from(labels), grouped, (index, label, group) =>
    fileItem(paths[index], join(root, paths[index]), label, group),
  );
  return { images, digest: (digest) => digestFiles(digest, images) };
}

/** A list over parallel arrays; `item` makes the image at an index that is in range. */
export function imageList(
  labels: Int32Array,
  groups: Int32Array | undefined,
  item: (index: number, label: number, group: number | undefined) => Item,
): ImageList {
  return {
    length: labels.length,
    labels,
    ...(groups ? { groups } : {}),
    at(index) {
      const label = labels[index];
      if (label === undefined) throw new RangeError(`no image ${index}: there are ${labels.length}`);
      return item(index, label, groups?.[index]);
    },
  };
}

/** Feeds ids, labels and groups into a fingerprint, then `stamp`: what shows that the bytes are these. */
export function digestRecords(digest: Hash, images: ImageList, stamp: unknown): void {
  for (let i = 0; i < images.length; i++) {
    const { id, label, group } = images.at(i);
    digest.update(JSON.stringify([id, label, ...(group === undefined ? [] : [group])]));
  }
  digest.update(JSON.stringify(stamp));
}
