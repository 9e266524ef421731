import { setImmediate } from "node:timers/promises";
import type { JobContext } from "../context.ts";
import { decoded, withBytes } from "../data/decode-item.ts";
import { InterruptedError } from "../errors.ts";
import { formatCount, formatMany } from "../format.ts";
import {
  comparePictures,
  enoughForViews,
  mirroredViews,
  type PictureAgreement,
  type PictureViews,
  viewsOf,
} from "../images/compare-pictures.ts";
import type { Item } from "../images/types.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import type { Gemm } from "../probe/gemm.ts";
import { comparesAll, type SimilarPair, similarPairs } from "../probe/near-duplicates.ts";
import type { FeatureRows } from "../probe/rows.ts";
import type { DuplicatePair } from "./data-check.ts";

/** From when on two images are nearly the same. */
export interface DuplicateSettings {
  /** Cosine of features from which they are, whatever their pictures look like. */
  readonly similarity: number;
  /** Cosine of features from which their pictures are compared. */
  readonly candidate: number;
  /** Least correlation of two pictures that are nearly the same, and the most that a small part of them may differ. */
  readonly correlation: number;
  readonly worst: number;
}

/** Chosen by bench/runs/duplicates.ts. */
export const duplicateSettings: DuplicateSettings = {
  similarity: 0.95,
  candidate: 0.5,
  correlation: 0.96,
  worst: 0.4,
};

/** Images whose pictures are compared at most, about 9 kB each. */
export const mostPictures = 20_000;
/** Images that are decoded at a time. */
const together = 4;
/** Pairs that are compared before others get a turn. */
const pairsAtOnce = 1000;

/** The images that are searched: their features, and where their pictures are. */
export interface SearchedImages {
  /** Rows are counted on from one source to the next. */
  readonly sources: readonly FeatureRows[];
  readonly map: FeatureMap;
  /** The image behind a row. */
  itemOf(row: number): Item;
}

/** Two rows that are nearly the same, and what found that. */
export type FoundDuplicate = SimilarPair & Pick<DuplicatePair, "by" | "correlation" | "alignment">;

/** A candidate, with how far its pictures agree where they were compared. */
export interface ComparedPair extends SimilarPair {
  readonly agreement?: PictureAgreement;
}

/**
 * Pairs of images that are nearly the same: those of very similar features, the most similar first, and of pairs of less similar ones
 * those whose pictures agree, best first.
 */
export async function findDuplicates(
  images: SearchedImages,
  gemm: Gemm,
  context: JobContext,
  settings: DuplicateSettings = duplicateSettings,
): Promise<FoundDuplicate[]> {
  const { similarity, candidate } = settings;
  // What few images say of how far each feature varies is little: there pictures decide about all pairs.
  const least = comparesAll(images.sources) ? -1 : candidate;
  const from = Math.min(similarity, least);
  const found = await similarPairs(images.sources, images.map, from, gemm);
  if (found.from > from) {
    context.note(
      `Near-duplicates: so many images have similar features that only pairs with a cosine of about ${found.from.toFixed(2)} or more were looked at.`,
    );
  }
  const compared = await comparePairs(
    found.pairs.filter((pair) => pair.similarity < similarity),
    images.itemOf,
    context,
  );
  return [
    ...found.pairs
      .filter((pair) => pair.similarity >= similarity)
      .map((pair) => ({ ...pair, by: "features" }) as const),
    ...samePictures(compared, { ...settings, candidate: least }),
  ];
}

/** Those pairs whose pictures are nearly the same, the best agreement first. */
export function samePictures(
  compared: readonly ComparedPair[],
  { candidate, correlation, worst }: DuplicateSettings,
): (FoundDuplicate & { readonly correlation: number })[] {
  return compared
    .flatMap(({ agreement, ...pair }) =>
      agreement !== undefined &&
      pair.similarity >= candidate &&
      agreement.correlation >= correlation &&
      agreement.worst <= worst
        ? [{ ...pair, by: "picture", ...pick(agreement) } as const]
        : [],
    )
    .sort((a, b) => b.correlation - a.correlation || a.first - b.first || a.second - b.second);
}

const pick = ({ correlation, alignment }: PictureAgreement) => ({ correlation, alignment });

/**
 * Compares the pictures of pairs, of which the first count most where they are of more than `most` images. What was not compared is
 * noted; it has no agreement.
 */
export async function comparePairs(
  pairs: readonly SimilarPair[],
  itemOf: (row: number) => Item,
  context: JobContext,
  most: number = mostPictures,
): Promise<ComparedPair[]> {
  const rows = new Set<number>();
  for (const { first, second } of pairs) {
    const more = Number(!rows.has(first)) + Number(!rows.has(second));
    if (rows.size + more > most) break;
    rows.add(first).add(second);
  }
  const left = pairs.filter(({ first, second }) => !rows.has(first) || !rows.has(second)).length;
  if (left > 0) {
    context.note(
      `Near-duplicates: the pictures of ${formatMany(left, "pair")} with similar features were not compared, since pictures of ` +
        `at most ${formatCount(most)} images are; the pairs with the most similar features came first.`,
    );
  }
  const views = await viewsOfRows(
    [...rows].sort((a, b) => a - b),
    itemOf,
    context,
  );
  const agreements = new Map<SimilarPair, PictureAgreement>();
  // Pairs of one image follow each other, so that it is mirrored once.
  const inOrder = [...pairs].sort((a, b) => a.first - b.first);
  let mirrored: { readonly of: PictureViews; readonly views: PictureViews } | undefined;
  for (const [k, pair] of inOrder.entries()) {
    if (k % pairsAtOnce === 0) {
      await setImmediate();
      stopWhereAsked(context);
    }
    const [first, second] = [views.get(pair.first), views.get(pair.second)];
    if (first === undefined || second === undefined) continue;
    if (mirrored?.of !== first) mirrored = { of: first, views: mirroredViews(first) };
    const agreement = comparePictures(first, second, mirrored.views);
    if (agreement !== undefined) agreements.set(pair, agreement);
  }
  return pairs.map((pair) => {
    const agreement = agreements.get(pair);
    return agreement === undefined ? pair : { ...pair, agreement };
  });
}

/** Views of images by row, without those that have no structure to compare, or cannot be read. */
async function viewsOfRows(
  rows: readonly number[],
  itemOf: (row: number) => Item,
  context: JobContext,
): Promise<Map<number, PictureViews>> {
  const views = new Map<number, PictureViews>();
  const stage = { stage: "Comparing pictures", total: rows.length, unit: "images" };
  let unreadable = 0;
  for (let start = 0; start < rows.length; start += together) {
    stopWhereAsked(context);
    context.progress({ ...stage, done: start });
    await Promise.all(
      rows.slice(start, start + together).map(async (row) => {
        const options = { svgEdge: enoughForViews, enough: enoughForViews };
        const image = await decoded(await withBytes(itemOf(row)), options);
        const own = "failed" in image ? undefined : viewsOf(image);
        if ("failed" in image) unreadable++;
        if (own !== undefined) views.set(row, own);
      }),
    );
  }
  if (rows.length > 0) context.progress({ ...stage, done: rows.length });
  if (unreadable > 0) {
    context.note(
      `Near-duplicates: ${formatMany(unreadable, "image")} could not be read again; their pictures were not compared.`,
    );
  }
  return views;
}

function stopWhereAsked({ signal }: JobContext): void {
  if (signal.aborted) throw new InterruptedError("Stopped while comparing pictures.");
}
