import type { Hash } from "node:crypto";
import { type FileHandle, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BadImage } from "../data/decode-pool.ts";
import { DataError, NumericalError } from "../errors.ts";
import { makeFolders, onDisk, replaceFile, writeAll } from "../files/disk.ts";
import { type FolderLock, lockFolder } from "../files/lock.ts";
import { toHalf } from "../onnx-vjp/graph/half.ts";
import {
  badFile,
  type FeatureCacheHeader,
  type FeatureCacheSpec,
  featureCachePath,
  hashesFile,
  headerFile,
  headerOf,
  recordBytes,
  recordCheck,
  recordNumbers,
  rowBytes,
  sealHeader,
} from "./cache-format.ts";
import { badLine, hashLine, type Recovered, recover } from "./cache-recover.ts";

/** Features of the next images. */
export interface FeatureBatch {
  /** b × d, finite. */
  readonly features: Float32Array;
  /** Index in the split of each image, b. */
  readonly indices: Int32Array;
  /** Class of each image, b. */
  readonly labels: Int32Array;
  /** Group of each image, b, where the data set has groups. */
  readonly groups?: Int32Array;
  /** The images among them that could not be read. */
  readonly bad?: readonly BadImage[];
}

/** How often, in milliseconds and bytes, features are made durable: what an end of the process may cost. */
const checkpointMilliseconds = 2000;
const checkpointBytes = 32 * 2 ** 20;

/**
 * Writes a feature cache, images in order. However the process ends, a writer opened again for the same spec
 * resumes at `nextIndex`: a row's record is only written once its features are on the disk, and is only kept where
 * these still have the hash that was recorded with them.
 */
export class FeatureCacheWriter {
  /** The folder that the cache will have. */
  readonly path: string;
  /** The images from this one on are not wanted. */
  readonly end: number;
  readonly #header: FeatureCacheHeader;
  readonly #partial: string;
  readonly #lock: FolderLock;
  readonly #features: FileHandle;
  readonly #rows: FileHandle;
  readonly #digests: { readonly features: Hash; readonly rows: Hash };
  readonly #bad: BadImage[];
  /** What the person should know of an earlier run's files that are resumed. */
  readonly note: string | undefined;
  #nextIndex: number;
  #rowCount: number;
  #open = true;
  /** Records and bad images of features that may not be on the disk yet. */
  #pending = { records: [] as Buffer[], bad: [] as BadImage[], bytes: 0, since: performance.now() };

  private constructor(path: string, header: FeatureCacheHeader, lock: FolderLock, kept: Recovered) {
    this.path = path;
    this.end = header.end;
    this.#header = header;
    this.#partial = partialOf(path);
    this.#lock = lock;
    this.#features = kept.features;
    this.#rows = kept.rows;
    this.#digests = kept.digests;
    this.#bad = kept.bad;
    this.note = kept.note;
    this.#nextIndex = kept.nextIndex;
    this.#rowCount = kept.rowCount;
  }

  /**
   * Opens the cache of `spec` under the folder `root` for writing, new or where an earlier run left it.
   * Throws DataError when another process is writing it or the disk cannot be written.
   */
  static async open(
    root: string,
    spec: FeatureCacheSpec,
    note?: (message: string) => void,
  ): Promise<FeatureCacheWriter> {
    const path = featureCachePath(root, spec);
    const partial = partialOf(path);
    const header = headerOf(spec);
    await onDisk(partial, () => makeFolders(partial), "cacheFolder");
    const lock = await lockFolder(partial, note);
    try {
      await onDisk(partial, () => replaceFile(join(partial, headerFile), sealHeader(header)));
      const kept = await onDisk(partial, () => recover(partial, header));
      return new FeatureCacheWriter(path, header, lock, kept);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The first image without features: where to resume. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** The images passed over, those of earlier, interrupted runs included. */
  get bad(): readonly BadImage[] {
    return this.#bad;
  }

  /**
   * Adds the features of the next images: every image from `nextIndex` on is among the batch's or its bad ones.
   * Throws NumericalError naming the image when a feature is too large for half precision;
   * DataError when the disk is full (what was written stays).
   */
  async append(batch: FeatureBatch): Promise<void> {
    const { bad = [] } = batch;
    const covered = this.#checked(batch);
    const bytes = this.#encode(batch);
    const at = this.#rowCount * rowBytes(this.#header);
    await onDisk(this.#partial, () => writeAll(this.#features, bytes, at));
    this.#digests.features.update(bytes);
    this.#pending.records.push(recordsOf(batch));
    this.#pending.bad.push(...bad);
    this.#pending.bytes += bytes.length;
    this.#bad.push(...bad);
    this.#rowCount += batch.indices.length;
    this.#nextIndex += covered;
    const due = performance.now() - this.#pending.since > checkpointMilliseconds;
    if (due || this.#pending.bytes > checkpointBytes) await this.#checkpoint();
  }

  /**
   * Seals the cache, once every image is in it or named as bad, and returns its folder.
   * Throws DataError when some are missing.
   */
  async finish(): Promise<string> {
    if (this.#nextIndex < this.end) {
      throw new DataError(
        `The feature cache ${this.#partial} ends before image ${this.#nextIndex} of ${this.end}. ` +
          "Run the same command again to extract the rest.",
      );
    }
    await this.#checkpoint();
    await onDisk(this.#partial, async () => {
      await this.#rows.sync();
      const complete = {
        rows: this.#rowCount,
        bad: this.#bad,
        sha256: { features: this.#digests.features.digest("hex"), rows: this.#digests.rows.digest("hex") },
      };
      await replaceFile(join(this.#partial, headerFile), sealHeader({ ...this.#header, complete }));
    });
    try {
      await this.#closeFiles();
      await onDisk(this.#partial, () => publish(this.#partial, this.path));
    } finally {
      await this.#lock.release();
    }
    return this.path;
  }

  /** Stops writing and leaves what there is for a later run. Does nothing after `finish`. */
  async close(): Promise<void> {
    if (!this.#open) return;
    try {
      await this.#checkpoint();
    } finally {
      await this.#closeFiles().finally(() => this.#lock.release());
    }
  }

  /** How many images the batch covers. */
  #checked({ features, indices, labels, bad = [] }: FeatureBatch): number {
    const { featureSize } = this.#header;
    if (features.length !== indices.length * featureSize || labels.length !== indices.length) {
      throw new RangeError(
        `${indices.length} images of ${featureSize} features need ${indices.length * featureSize} numbers and ` +
          `${indices.length} labels, got ${features.length} and ${labels.length}`,
      );
    }
    const covered = [...indices, ...bad.map(({ index }) => index)].sort((a, b) => a - b);
    const ascending = indices.every((index, i) => i === 0 || index > indices[i - 1]);
    if (!ascending || covered.some((index, i) => index !== this.#nextIndex + i || index >= this.end)) {
      const last = this.#nextIndex + covered.length - 1;
      throw new RangeError(
        `expected images ${this.#nextIndex} to ${last} of ${this.end} in order, got ${covered}`,
      );
    }
    return covered.length;
  }

  #encode({ features, indices }: FeatureBatch): Buffer {
    const { featureSize, storage, identity } = this.#header;
    const half = storage === "float16" ? toHalf(features) : undefined;
    // The bits of an infinity in half precision: all of the exponent's.
    const overflow = half?.findIndex((bits) => (bits & 0x7c00) === 0x7c00) ?? -1;
    if (overflow >= 0) {
      const image = `image ${indices[Math.floor(overflow / featureSize)]} of ${identity.data.name}`;
      throw new NumericalError(
        `The feature ${features[overflow]} of ${image} is too large for half precision. Cache features as float32.`,
      );
    }
    const { buffer, byteOffset, byteLength } = half ?? features;
    return Buffer.from(buffer, byteOffset, byteLength);
  }

  async #checkpoint(): Promise<void> {
    const { records, bad } = this.#pending;
    // After a `finish` that failed there is nothing left, and no hash to add to.
    if (records.length === 0) return;
    const bytes = Buffer.concat(records);
    await onDisk(this.#partial, async () => {
      await this.#features.datasync();
      // Before the rows: a gap in the rows must always be explained, and rows without a hash are not kept.
      if (bad.length > 0) {
        await writeFile(join(this.#partial, badFile), bad.map(badLine).join(""), { flag: "a", flush: true });
      }
      const features = this.#digests.features.copy().digest("hex");
      const line = hashLine({ rows: this.#rowCount, features });
      await writeFile(join(this.#partial, hashesFile), line, { flag: "a", flush: true });
      await writeAll(this.#rows, bytes, this.#rowCount * recordBytes - bytes.length);
    });
    this.#digests.rows.update(bytes);
    this.#pending = { records: [], bad: [], bytes: 0, since: performance.now() };
  }

  async #closeFiles(): Promise<void> {
    this.#open = false;
    await this.#features.close();
    await this.#rows.close();
  }
}

/** The folder of a cache that is not complete. */
export function partialOf(path: string): string {
  return `${path}.partial`;
}

/** Gives a complete folder its name. Where another process was faster, its equal cache stays. */
export async function publish(partial: string, path: string): Promise<void> {
  for (const name of [badFile, hashesFile]) await rm(join(partial, name), { force: true });
  const published = await stat(join(path, headerFile)).catch(() => undefined);
  if (published === undefined) await rename(partial, path);
  else await rm(partial, { recursive: true });
  await rm(join(path, "lock.json"), { force: true });
}

function recordsOf({ indices, labels, groups }: FeatureBatch): Buffer {
  const records = new Int32Array(indices.length * recordNumbers);
  for (const [i, index] of indices.entries()) {
    const label = labels[i];
    const group = groups?.[i] ?? -1;
    records.set([index, label, group, recordCheck(index, label, group)], i * recordNumbers);
  }
  return Buffer.from(records.buffer);
}
