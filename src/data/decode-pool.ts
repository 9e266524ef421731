import { Worker } from "node:worker_threads";
import { DataError } from "../errors.ts";
import { workerUrl } from "../files/worker-url.ts";
import { decodeOptionsFor } from "../images/decode.ts";
import { inputBytes, type Preprocessing } from "../images/preprocess.ts";
import type { Item } from "../images/types.ts";
import { withBytes } from "./decode-item.ts";
import type { DecodeMessage, DecodeResult, DecodeSetup, DecodeTask } from "./decode-worker.ts";
import type { ImageSource, Split } from "./image-source.ts";

/** An image that could not be read. */
export interface BadImage {
  readonly id: string;
  /** Its index in the split. */
  readonly index: number;
  readonly reason: string;
}

/** Preprocessed images, ready for an encoder. */
export interface ImageBatch {
  /**
   * b × 3 × H × W, planar 8-bit RGB, without mean and standard deviation. Shared memory that is written anew once the next
   * batch is asked for: copy what is to stay.
   */
  readonly pixels: Uint8Array;
  /** Class of each image, b. */
  readonly labels: Int32Array;
  /** Index in the split of each image, b. */
  readonly indices: Int32Array;
  /** The images of this batch that could not be read and are not among the b; b may be 0. */
  readonly bad: readonly BadImage[];
}

export interface BatchOptions {
  /** Images in a batch; the last one, and those with unreadable images, have fewer. By default 32. */
  readonly batchSize?: number;
  /** The images wanted and their order; by default all, in the split's order. */
  readonly indices?: Int32Array;
  /** How many unreadable images are skipped before the rest is given up. By default none. */
  readonly maxBad?: number;
  /** Unreadable images that were skipped before these: they count, too. By default none. */
  readonly skipped?: readonly BadImage[];
  /** Batches that are decoded, or on their way, while the caller works on one. By default 2. */
  readonly ahead?: number;
  readonly signal?: AbortSignal;
}

/**
 * Decodes and preprocesses images on a separate thread and yields them in order, `ahead` batches ahead of the
 * caller, in memory that does not grow with the data set.
 *
 * Unreadable images are counted, named in their batch's `bad` and skipped; beyond `maxBad` of them it throws
 * DataError with the first few. An aborted `signal` ends it with the signal's reason, at most an image later.
 */
export async function* imageBatches(
  source: ImageSource,
  split: Split,
  preprocessing: Preprocessing,
  options: BatchOptions = {},
): AsyncGenerator<ImageBatch, void, undefined> {
  const { batchSize = 32, indices, maxBad = 0, skipped = [] } = options;
  const { ahead = 2, signal } = options;
  for (const [name, value] of Object.entries({ batchSize, ahead })) {
    if (!Number.isInteger(value) || value < 1)
      throw new RangeError(`${name} must be 1 or more, got ${value}`);
  }
  signal?.throwIfAborted();
  const images = source.images(split);
  const total = indices?.length ?? images.length;
  const batchCount = Math.ceil(total / batchSize);
  const indicesOf = (batch: number): Int32Array => {
    const start = batch * batchSize;
    const end = Math.min(total, start + batchSize);
    return indices?.slice(start, end) ?? Int32Array.from({ length: end - start }, (_, i) => start + i);
  };
  const size = inputBytes(preprocessing);
  const slotCount = Math.min(ahead + 1, batchCount);
  const slots = Array.from({ length: slotCount }, () => new SharedArrayBuffer(batchSize * size));
  const decoder = new DecodingThread({ preprocessing, decode: decodeOptionsFor(preprocessing), slots });
  const cancel = () => decoder.fail(signal!.reason);
  signal?.addEventListener("abort", cancel);
  try {
    const under: Promise<DecodeResult>[] = [];
    const start = (batch: number) => {
      if (batch >= batchCount) return;
      const items = Array.from(indicesOf(batch), (index) => images.at(index));
      const result = decoder.run(batch, batch % slotCount, items);
      // Awaited when its turn comes; failing before that is not an unhandled rejection.
      result.catch(() => undefined);
      under.push(result);
    };
    // A slot is free again when the caller is done with its batch, so batch k + slotCount follows batch k.
    for (let batch = 0; batch < slotCount; batch++) start(batch);
    const bad = [...skipped];
    for (let batch = 0; batch < batchCount; batch++) {
      const result = await under.shift()!;
      const wanted = indicesOf(batch);
      const badHere = result.bad.map(({ place, reason }) => {
        const index = wanted[place];
        return { id: images.at(index).id, index, reason };
      });
      bad.push(...badHere);
      if (bad.length > maxBad) throw tooManyBad(source.name, bad, maxBad);
      const kept = Int32Array.from(result.good, (place) => wanted[place]);
      yield {
        pixels: new Uint8Array(slots[batch % slotCount], 0, kept.length * size),
        labels: kept.map((index) => images.labels[index]),
        indices: kept,
        bad: badHere,
      };
      start(batch + slotCount);
    }
  } finally {
    signal?.removeEventListener("abort", cancel);
    await decoder.end();
  }
}

/** The error of a data set of which more images are unreadable than are to be skipped. */
export function tooManyBad(name: string, bad: readonly BadImage[], maxBad: number): DataError {
  const first = bad.slice(0, 5).map(({ reason }) => `\n  ${reason}`);
  const allowed = maxBad === 0 ? "none is allowed" : `${maxBad} are allowed`;
  return new DataError(
    `${name}: ${bad.length} of the images cannot be used and ${allowed} (\`maxBad\`). ` +
      `${bad.length > first.length ? "The first" : "Found"}:${first.join("")}`,
  );
}

/** The thread that decodes, and the batches that are waited for. */
class DecodingThread {
  readonly #thread: Worker;
  readonly #exit: Promise<void>;
  readonly #waiting = new Map<number, Deferred>();
  #failure: { readonly reason: unknown } | undefined;
  #ending = false;

  constructor(setup: DecodeSetup) {
    // No flags of the parent: test runners and debuggers start it with some that a thread cannot take.
    const thread = new Worker(workerUrl(import.meta.url, "./decode-worker.ts"), {
      workerData: setup,
      execArgv: [],
    });
    this.#thread = thread;
    this.#exit = new Promise<void>((resolve) => thread.once("exit", () => resolve()));
    thread.on("message", (result: DecodeResult) => {
      this.#waiting.get(result.batch)?.resolve(result);
      this.#waiting.delete(result.batch);
    });
    thread.on("error", (error) => this.fail(error));
    thread.on("exit", (code) => {
      if (!this.#ending) this.fail(new Error(`the decoding thread ended early (exit code ${code})`));
    });
  }

  /** Decodes a batch into a slot. */
  async run(batch: number, slot: number, items: readonly Item[]): Promise<DecodeResult> {
    const waiting = deferred();
    waiting.promise.catch(() => undefined);
    this.#waiting.set(batch, waiting);
    if (this.#failure !== undefined) this.fail(this.#failure.reason);
    const task: DecodeTask = { batch, slot, items: await Promise.all(items.map(withBytes)) };
    if (this.#failure === undefined && !this.#ending) this.#thread.postMessage(task satisfies DecodeMessage);
    return waiting.promise;
  }

  /** Ends every wait with `reason`. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    for (const { reject } of this.#waiting.values()) reject(this.#failure.reason);
    this.#waiting.clear();
  }

  /** Lets the thread end by itself: one that is killed while libvips works takes the process with it. */
  async end(): Promise<void> {
    this.#ending = true;
    this.#thread.postMessage(null satisfies DecodeMessage);
    await this.#exit;
  }
}

interface Deferred {
  readonly promise: Promise<DecodeResult>;
  readonly resolve: (result: DecodeResult) => void;
  readonly reject: (reason: unknown) => void;
}

function deferred(): Deferred {
  let resolve!: Deferred["resolve"];
  let reject!: Deferred["reject"];
  const promise = new Promise<DecodeResult>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
