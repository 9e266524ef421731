import { closeSync, openSync, read, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError, InterruptedError, messageOf } from "../errors.ts";
import { hashOf } from "../files/verified.ts";
import { fromHalf } from "../onnx-vjp/graph/half.ts";
import type { FeatureRows } from "../probe/rows.ts";
import {
  damaged,
  type FeatureCacheHeader,
  type FeatureCacheSpec,
  featuresFile,
  readHeader,
  recordBytes,
  recordCheck,
  rowBytes,
  rowsFile,
} from "./cache-format.ts";

/** Complete cached features. Rows are read from the disk as they are asked for; labels are in memory. */
export interface FeatureCache extends FeatureRows {
  readonly path: string;
  readonly header: FeatureCacheHeader;
  /** Index in the split of the image of every row. */
  readonly indices: Int32Array;
  /** Group of every row, where the data set has groups. */
  readonly groups?: Int32Array;
  /** Whether the features are in memory. */
  readonly inMemory: boolean;
  close(): void;
}

export interface OpenFeatureCacheOptions {
  /** What the features must be of. */
  readonly expected?: FeatureCacheSpec;
  /** Features of at most this many bytes are read into memory at once. By default none are. */
  readonly memoryBytes?: number;
  /** Stops the comparison of the hashes. */
  readonly signal?: AbortSignal;
  /** Called with how many bytes of how many were compared with their hashes. */
  readonly onChecked?: (done: number, total: number) => void;
}

/** Largest piece read at once: Node reads at most 2 GiB, and a buffer of the whole may be larger. */
const blockBytes = 64 * 2 ** 20;

/**
 * Opens a complete feature cache. All of it is compared with its hashes when it is first opened in a process, and
 * again when its files have changed since; the number of each record always.
 *
 * @throws DataError when it is not there, not complete, truncated or otherwise damaged, or when it is not of what
 *   `expected` says, naming each difference; InterruptedError when the signal was given
 */
export async function openFeatureCache(
  path: string,
  options: OpenFeatureCacheOptions = {},
): Promise<FeatureCache> {
  const header = await readHeader(path);
  if (header.complete === null) {
    throw new DataError(`The feature cache ${path} is not complete. Run the extraction again; it resumes.`);
  }
  if (options.expected !== undefined) requireSame(path, header, options.expected);
  const { rows: count, sha256 } = header.complete;
  const [featureBytes, recordsBytes] = [count * rowBytes(header), count * recordBytes];
  await requireSize(path, featuresFile, featureBytes);
  await requireSize(path, rowsFile, recordsBytes);
  const total = featureBytes + recordsBytes;
  const { signal, onChecked } = options;
  await requireHash(path, rowsFile, sha256.rows, (done) => onChecked?.(done, total), signal);
  await requireHash(
    path,
    featuresFile,
    sha256.features,
    (done) => onChecked?.(recordsBytes + done, total),
    signal,
  );
  const { indices, labels, groups } = columnsOf(path, header, await readFile(join(path, rowsFile)), count);
  const store = new RowStore(join(path, featuresFile), header, count, options.memoryBytes ?? 0);
  return {
    path,
    header,
    count,
    featureSize: header.featureSize,
    labels,
    indices,
    imageIndices: indices,
    ...(header.groups === null ? {} : { groups }),
    inMemory: store.inMemory,
    async rows(wanted, out) {
      if (!(await store.readAheadOf(wanted, out))) store.read(wanted, out);
    },
    readAhead: (wanted) => store.readAhead(wanted),
    close: () => store.close(),
  };
}

/** Rows that are being read in the background. */
interface Ahead {
  readonly wanted: Int32Array;
  readonly bytes: Uint8Array;
  /** Whether all of them were read. */
  readonly done: Promise<boolean>;
}

/**
 * The stored rows, in memory or in their file. Reading is synchronous: a row that the system has in its own cache
 * takes microseconds, ten times less than a turn through Node's thread pool. One that it has not takes milliseconds:
 * those of the next batch are therefore read ahead, several at once, while the caller has other work.
 */
class RowStore {
  readonly inMemory: boolean;
  readonly #file: string;
  readonly #header: FeatureCacheHeader;
  readonly #count: number;
  readonly #rowBytes: number;
  readonly #rowsPerBlock: number;
  readonly #blocks: Uint8Array[] = [];
  readonly #scratch: Uint8Array;
  #descriptor: number | undefined;
  #ahead: Ahead | undefined;
  /** Ends when no read is under way. */
  #reads: Promise<void> | undefined;

  constructor(file: string, header: FeatureCacheHeader, count: number, memoryBytes: number) {
    this.#file = file;
    this.#header = header;
    this.#count = count;
    this.#rowBytes = rowBytes(header);
    this.#rowsPerBlock = Math.max(1, Math.floor(blockBytes / this.#rowBytes));
    this.#descriptor = openSync(file, "r");
    this.inMemory = count * this.#rowBytes <= memoryBytes;
    this.#scratch = new Uint8Array(this.inMemory ? 0 : Math.min(count, this.#rowsPerBlock) * this.#rowBytes);
    if (this.inMemory) {
      for (let row = 0; row < count; row += this.#rowsPerBlock) {
        const block = new Uint8Array(Math.min(this.#rowsPerBlock, count - row) * this.#rowBytes);
        this.#readFile(block, row);
        this.#blocks.push(block);
      }
      this.close();
    }
  }

  read(wanted: Int32Array, out: Float32Array): void {
    const { featureSize } = this.#header;
    if (out.length !== wanted.length * featureSize) {
      throw new RangeError(
        `${wanted.length} rows of ${featureSize} features need ${wanted.length * featureSize} numbers, got ${out.length}`,
      );
    }
    for (let i = 0; i < wanted.length; ) {
      const first = wanted[i];
      // Neighbors are read together: in order, the file is read in large pieces.
      let run = 1;
      while (i + run < wanted.length && wanted[i + run] === first + run && run < this.#rowsPerBlock) run++;
      if (first < 0 || first + run > this.#count) {
        throw new RangeError(`no row ${first < 0 ? first : this.#count}: there are ${this.#count}`);
      }
      this.#readRun(first, run, out.subarray(i * featureSize, (i + run) * featureSize));
      i += run;
    }
  }

  /** Begins to read rows in the background; those of an earlier call are forgotten. */
  readAhead(wanted: Int32Array): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined || wanted.some((row) => row < 0 || row >= this.#count)) return;
    const bytes = new Uint8Array(wanted.length * this.#rowBytes);
    const one = (place: number): Promise<boolean> =>
      new Promise((resolve) => {
        const [start, length] = [place * this.#rowBytes, this.#rowBytes];
        read(descriptor, bytes, start, length, wanted[place] * length, (error, got) =>
          resolve(error === null && got === length),
        );
      });
    const reads = Promise.all(Array.from(wanted, (_, place) => one(place)));
    this.#ahead = { wanted: wanted.slice(), bytes, done: reads.then((whole) => whole.every(Boolean)) };
    // Without its value, in which those of all reads before would be kept.
    this.#reads = Promise.all([this.#reads, reads]).then(() => undefined);
  }

  /** Writes rows that were read ahead; false where they were not, or not all could be read. */
  async readAheadOf(wanted: Int32Array, out: Float32Array): Promise<boolean> {
    const ahead = this.#ahead;
    const same = ahead?.wanted.length === wanted.length && ahead.wanted.every((row, i) => row === wanted[i]);
    if (ahead === undefined || !same || out.length !== wanted.length * this.#header.featureSize) return false;
    if (!(await ahead.done)) return false;
    this.#decode(ahead.bytes, out);
    return true;
  }

  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor === undefined) return;
    // Reads under way must not meet another file under this number.
    if (this.#reads === undefined) closeSync(descriptor);
    else this.#reads.then(() => closeSync(descriptor));
    this.#ahead = undefined;
  }

  #readRun(first: number, run: number, out: Float32Array): void {
    if (!this.inMemory) {
      const bytes = this.#scratch.subarray(0, run * this.#rowBytes);
      this.#readFile(bytes, first);
      this.#decode(bytes, out);
      return;
    }
    const { featureSize } = this.#header;
    for (let done = 0; done < run; ) {
      const block = Math.floor((first + done) / this.#rowsPerBlock);
      const from = (first + done) % this.#rowsPerBlock;
      const rows = Math.min(run - done, this.#rowsPerBlock - from);
      const bytes = this.#blocks[block].subarray(from * this.#rowBytes, (from + rows) * this.#rowBytes);
      this.#decode(bytes, out.subarray(done * featureSize, (done + rows) * featureSize));
      done += rows;
    }
  }

  #decode(bytes: Uint8Array, out: Float32Array): void {
    if (this.#header.storage === "float16") {
      fromHalf(new Uint16Array(bytes.buffer, bytes.byteOffset, out.length), out);
    } else out.set(new Float32Array(bytes.buffer, bytes.byteOffset, out.length));
  }

  #readFile(bytes: Uint8Array, row: number): void {
    if (this.#descriptor === undefined) throw new DataError(`${this.#file} was closed before it was read.`);
    const position = row * this.#rowBytes;
    try {
      for (let done = 0; done < bytes.length; ) {
        const got = readSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
        if (got === 0) throw new Error(`it ends at byte ${position + done}`);
        done += got;
      }
    } catch (cause) {
      throw new DataError(
        `${this.#file} cannot be read: ${messageOf(cause)}. Delete its folder and extract the features again.`,
        { cause },
      );
    }
  }
}

/** The columns of the records. Throws DataError for a record that is not as it was written. */
function columnsOf(path: string, header: FeatureCacheHeader, records: Buffer, count: number) {
  const [indices, labels, groups] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  for (let row = 0; row < count; row++) {
    const at = row * recordBytes;
    const index = records.readInt32LE(at);
    const label = records.readInt32LE(at + 4);
    const group = records.readInt32LE(at + 8);
    if (records.readInt32LE(at + 12) !== recordCheck(index, label, group)) {
      throw damaged(path, `record ${row} of ${rowsFile} was changed since it was written`);
    }
    if (label < 0 || label >= header.classes.length) {
      throw damaged(path, `row ${row} has class ${label}, but there are ${header.classes.length} classes`);
    }
    indices[row] = index;
    labels[row] = label;
    groups[row] = group;
  }
  return { indices, labels, groups };
}

/** Throws DataError naming all that the features are of and should not be. */
function requireSame(path: string, header: FeatureCacheHeader, expected: FeatureCacheSpec): void {
  const of = (cache: Omit<FeatureCacheSpec, "part">) => {
    const { encoder, feature, preprocessing, fast, data, split } = cache.identity;
    return {
      encoder: `${encoder.id} (sha256 ${encoder.sha256.slice(0, 12)}…)`,
      "feature tensor": feature,
      preprocessing: JSON.stringify(preprocessing),
      "fast decoding": String(fast),
      "data set": `${data.name} (fingerprint ${data.fingerprint.slice(0, 12)}…)`,
      split,
      "feature size": String(cache.featureSize),
      images: String(cache.images),
    };
  };
  // Names may differ where hashes agree: the same encoder under another path.
  const found = of(header);
  const wanted = of(expected);
  const sameEncoder = header.identity.encoder.sha256 === expected.identity.encoder.sha256;
  const sameData = header.identity.data.fingerprint === expected.identity.data.fingerprint;
  const differences = (Object.keys(found) as (keyof typeof found)[])
    .filter((key) =>
      key === "encoder" ? !sameEncoder : key === "data set" ? !sameData : found[key] !== wanted[key],
    )
    .map((key) => `${key}: ${found[key]}, but ${wanted[key]} is asked for`);
  if (differences.length === 0) return;
  throw new DataError(
    `The feature cache ${path} holds other features than these: ${differences.join("; ")}. ` +
      "Extract them with this encoder and data set, or give the cache's own.",
  );
}

async function requireSize(path: string, file: string, bytes: number): Promise<void> {
  const size = (await stat(join(path, file)).catch(() => undefined))?.size;
  if (size === bytes) return;
  throw damaged(path, size === undefined ? `${file} is missing` : `${file} has ${size} bytes, not ${bytes}`);
}

async function requireHash(
  path: string,
  file: string,
  sha256: string,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let found: string;
  try {
    found = await hashOf(join(path, file), { onBytes, signal });
  } catch (cause) {
    if (signal?.aborted) throw new InterruptedError("Stopped while features were checked.", { cause });
    throw damaged(path, `${file} cannot be read (${messageOf(cause)})`, cause);
  }
  if (found !== sha256) throw damaged(path, `the contents of ${file} have changed since they were written`);
}
