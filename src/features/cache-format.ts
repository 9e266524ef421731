/**
 * How cached features are stored on disk: one folder per cache,
 *
 *     header.json    what the features are of, and once complete how many there are and their hashes
 *     features.bin   rows × d, float32 or float16
 *     rows.bin       rows × 4 int32: index of the image in its split, class, group (−1 for none), check
 *
 * little-endian, rows in the order of the images. While it is written the folder's name ends in ".partial",
 * `bad.jsonl` lists the images passed over and `hashes.jsonl` what features.bin hashes to after each stretch of rows;
 * the folder is renamed once complete. A part of a sharded cache is a
 * cache of a range of the images, under its own name.
 */
import { hash } from "node:crypto";
import { join } from "node:path";
import * as z from "zod";
import { DataError, messageOf } from "../errors.ts";
import { settingsText } from "../files/regular-file.ts";
import { Preprocessing } from "../images/preprocess.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What cached features are of: the same identity, the same features. */
export const FeatureIdentity = z.strictObject({
  encoder: z.strictObject({ id: z.string(), sha256 }),
  /** The feature tensor and how it is pooled. */
  feature: z.string(),
  preprocessing: Preprocessing,
  /** Whether large images were shrunk by the decoder (not exact). */
  fast: z.boolean().default(false),
  data: z.strictObject({ name: z.string(), fingerprint: sha256 }),
  split: z.enum(["train", "val", "test"]),
});
export type FeatureIdentity = z.infer<typeof FeatureIdentity>;

/** How numbers are stored. float16 halves the size and keeps 3 decimal digits, up to 65504. */
export const FeatureStorage = z.enum(["float32", "float16"]);
export type FeatureStorage = z.infer<typeof FeatureStorage>;

const count = z.int().nonnegative();
/** An image that was passed over: a line of `bad.jsonl`. */
export const BadImageRecord = z.strictObject({ id: z.string(), index: count, reason: z.string() });

/** `header.json`. */
export const FeatureCacheHeader = z.strictObject({
  format: z.literal("clp-dd features"),
  version: z.literal(1),
  identity: FeatureIdentity,
  storage: FeatureStorage,
  /** d. */
  featureSize: z.int().positive(),
  classes: z.array(z.string()),
  groups: z.array(z.string()).nullable(),
  /** Images in the whole split. */
  images: count,
  /** The images covered: from `start` up to, not including, `end`. */
  start: count,
  end: count,
  /** null while being written. */
  complete: z
    .strictObject({
      rows: count,
      bad: z.array(BadImageRecord),
      sha256: z.strictObject({ features: sha256, rows: sha256 }),
    })
    .nullable(),
});
export type FeatureCacheHeader = z.infer<typeof FeatureCacheHeader>;

const SealedHeader = z.strictObject({ header: z.unknown(), sha256 });

/** What is to be cached: all of a header that is known before the first image. */
export type FeatureCacheSpec = Omit<
  FeatureCacheHeader,
  "format" | "version" | "start" | "end" | "complete"
> & {
  /** Part `index` (from 0) of `count` contiguous ones; all images when absent. */
  readonly part?: { readonly index: number; readonly count: number };
};

export const headerFile = "header.json";
export const featuresFile = "features.bin";
export const rowsFile = "rows.bin";
export const badFile = "bad.jsonl";
export const hashesFile = "hashes.jsonl";

/** A line of `hashes.jsonl`: the hash of the features of the first `rows` rows. */
export const HashLine = z.strictObject({ rows: z.int().positive(), features: sha256 });
export type HashLine = z.infer<typeof HashLine>;

/** Numbers and bytes of a record of `rows.bin`. */
export const recordNumbers = 4;
export const recordBytes = 4 * recordNumbers;

/**
 * The last number of a record: shows that the others are as they were written, and not what a power cut left. Not
 * zero for zeros.
 */
export function recordCheck(index: number, label: number, group: number): number {
  let check = 0x2545f491;
  for (const number of [index, label, group]) check = Math.imul(check ^ number, 0x9e3779b1) ^ (check >>> 15);
  return check | 0;
}

/** Bytes of a stored row of features. */
export function rowBytes(header: Pick<FeatureCacheHeader, "storage" | "featureSize">): number {
  return header.featureSize * (header.storage === "float16" ? 2 : 4);
}

/** The images of part `index` of `count`: contiguous, in order, of nearly equal number. */
export function partRange(images: number, part: FeatureCacheSpec["part"]): { start: number; end: number } {
  const { index, count: parts } = part ?? { index: 0, count: 1 };
  if (!Number.isInteger(index) || !Number.isInteger(parts) || index < 0 || index >= parts) {
    throw new DataError(
      `there is no part ${index} of ${parts}: parts count from 0 to one below their number`,
    );
  }
  return { start: Math.floor((images * index) / parts), end: Math.floor((images * (index + 1)) / parts) };
}

/** The header a cache starts with. */
export function headerOf(spec: FeatureCacheSpec): FeatureCacheHeader {
  const { part, ...known } = spec;
  const range = partRange(spec.images, part);
  return FeatureCacheHeader.parse({
    ...known,
    format: "clp-dd features",
    version: 1,
    ...range,
    complete: null,
  });
}

/** The folder a cache has once complete: its name is a hash of all that the features depend on. */
export function featureCachePath(root: string, spec: FeatureCacheSpec): string {
  const { encoder, feature, preprocessing, fast, data, split } = FeatureIdentity.parse(spec.identity);
  const key = hash(
    "sha256",
    JSON.stringify([
      encoder.sha256,
      feature,
      preprocessing,
      fast,
      data.fingerprint,
      split,
      spec.storage,
      spec.featureSize,
      spec.images,
    ]),
  );
  const { part } = spec;
  const suffix = part === undefined ? "" : `.part-${part.index}-of-${part.count}`;
  return join(root, `features-${key.slice(0, 32)}${suffix}`);
}

/** `header.json`'s text: the header and the hash that shows it whole. */
export function sealHeader(header: FeatureCacheHeader): string {
  return `${JSON.stringify({ header, sha256: hash("sha256", JSON.stringify(header)) }, null, 1)}\n`;
}

/** Reads a cache's header. Throws DataError when it is not there, damaged, or of another version. */
export async function readHeader(folder: string): Promise<FeatureCacheHeader> {
  const file = join(folder, headerFile);
  let text: string;
  try {
    text = await settingsText(file);
  } catch (cause) {
    throw new DataError(`${folder} is not a feature cache: ${messageOf(cause)}`, { cause });
  }
  try {
    const sealed = SealedHeader.parse(JSON.parse(text));
    if (hash("sha256", JSON.stringify(sealed.header)) !== sealed.sha256) {
      throw new Error("its hash does not match");
    }
    return FeatureCacheHeader.parse(sealed.header);
  } catch (cause) {
    throw damaged(folder, `${headerFile} cannot be used (${messageOf(cause)})`, cause);
  }
}

/** The error of a cache that cannot be trusted. */
export function damaged(folder: string, what: string, cause?: unknown): DataError {
  return new DataError(
    `The feature cache ${folder} is damaged: ${what}. Delete the folder and extract the features again.`,
    { cause },
  );
}
