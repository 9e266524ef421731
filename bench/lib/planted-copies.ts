import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import type { ImageList } from "../../src/data/image-source.ts";
import { sampledRows } from "../../src/probe/rows.ts";

/** Side of the originals, in pixels. */
export const plantedSide = 128;

/** What is done to a copy; each to other originals. */
export const copyKinds: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  "JPEG of quality 60": (image) => image.jpeg({ quality: 60 }),
  "half the size": (image) => image.resize(plantedSide / 2).png(),
  mirrored: (image) => image.flop().png(),
  "cropped by 5 % a side": (image) => cropped(image, 0.05),
  "cropped by 10 % a side": (image) => cropped(image, 0.1),
  "15 % brighter": (image) => image.modulate({ brightness: 1.15 }).png(),
};

function cropped(image: Sharp, share: number): Sharp {
  const margin = Math.round(share * plantedSide);
  const edge = plantedSide - 2 * margin;
  return image.extract({ left: margin, top: margin, width: edge, height: edge }).png();
}

/** Two numbers of images as one key, whichever is first. */
export const keyOfPair = (a: number, b: number): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

/** Originals and their copies, as files. */
export interface PlantedCopies {
  readonly folder: string;
  /** Files in the folder. */
  readonly names: readonly string[];
  /** The pairs that are to be found, by `keyOfPair`, with the kind of the copy. */
  readonly planted: ReadonlyMap<string, string>;
}

/** Writes `originals` images on white, drawn at random, and `copies` of each kind of some of them. */
export async function plantCopies(
  images: ImageList,
  folder: string,
  originals: number,
  copies: number,
): Promise<PlantedCopies> {
  await mkdir(folder);
  const names: string[] = [];
  const planted = new Map<string, string>();
  for (const [k, row] of sampledRows(images.length, originals, "originals").entries()) {
    const flat = await sharp(await images.at(row).open())
      .flatten({ background: "white" })
      .png()
      .toBuffer();
    names.push(`${k}.png`);
    await writeFile(join(folder, names[k]!), flat);
  }
  for (const [number, [kind, change]] of Object.entries(copyKinds).entries()) {
    for (let c = 0; c < copies; c++) {
      const original = (number * copies + c) % originals;
      const copy = await change(sharp(join(folder, names[original]!))).toBuffer();
      planted.set(keyOfPair(original, names.length), kind);
      names.push(`${names.length}.${kind.startsWith("JPEG") ? "jpg" : "png"}`);
      await writeFile(join(folder, names.at(-1)!), copy);
    }
  }
  return { folder, names, planted };
}

/** Of pairs that were found: right ones of all planted and of all found, also by kind, as fractions. */
export interface PlantedScore {
  readonly recall: number;
  /** NaN where nothing was found. */
  readonly precision: number;
  /** Harmonic mean of the two. */
  readonly f1: number;
  readonly byKind: readonly number[];
}

/** Pairs that were not planted count as wrong, alike as they may be. */
export function scorePairs(
  pairs: Iterable<readonly [number, number]>,
  planted: ReadonlyMap<string, string>,
): PlantedScore {
  const hits = new Map<string, number>(Object.keys(copyKinds).map((kind) => [kind, 0]));
  let right = 0;
  let all = 0;
  for (const [a, b] of pairs) {
    all++;
    const kind = planted.get(keyOfPair(a, b));
    if (kind === undefined) continue;
    right++;
    hits.set(kind, hits.get(kind)! + 1);
  }
  const perKind = planted.size / hits.size;
  return {
    recall: right / planted.size,
    precision: right / all,
    f1: (2 * right) / (planted.size + all),
    byKind: Array.from(hits.values(), (number) => number / perKind),
  };
}
