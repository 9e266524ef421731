/** A thread that decodes and preprocesses batches of images into memory shared with `decode-pool.ts`. */
import { open } from "node:fs/promises";
import { parentPort, workerData } from "node:worker_threads";
import sharp from "sharp";
import { DataError, messageOf } from "../errors.ts";
import { readBounded } from "../files/read-bounded.ts";
import { readExactly } from "../files/read-exactly.ts";
import { type DecodeOptions, decodeImage, mostImageBytes } from "../images/decode.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import type { Encoding, FileRange, RgbImage } from "../images/types.ts";

/** What a worker is started with. */
export interface DecodeSetup {
  readonly preprocessing: Preprocessing;
  readonly decode: DecodeOptions;
  /** One for each batch under way, each for the largest batch. */
  readonly slots: readonly SharedArrayBuffer[];
}

/** One image of a task: where its bytes are, or why there are none. */
export interface DecodeItem {
  readonly id: string;
  readonly encoding: Encoding;
  readonly bytes: Uint8Array | FileRange | { readonly failed: string };
}

export interface DecodeTask {
  readonly batch: number;
  readonly slot: number;
  readonly items: readonly DecodeItem[];
}

/** The images that lie in the slot, in order and without gaps, as places in the task; and those that do not. */
export interface DecodeResult {
  readonly batch: number;
  readonly good: readonly number[];
  readonly bad: readonly { readonly place: number; readonly reason: string }[];
}

/** `null` asks the worker to end after the image it is at. */
export type DecodeMessage = DecodeTask | null;

async function read(item: DecodeItem): Promise<Uint8Array> {
  const { bytes } = item;
  if (bytes instanceof Uint8Array) return bytes;
  if ("failed" in bytes) throw new DataError(bytes.failed);
  if (bytes.length === undefined) return readBounded(bytes.path, mostImageBytes);
  if (bytes.length > mostImageBytes)
    throw new DataError(`${item.id} says to have ${bytes.length} bytes, more than any image that is read`);
  const file = await open(bytes.path);
  try {
    const ended = () => new DataError(`${bytes.path} ends within ${item.id}`);
    return await readExactly(file, Buffer.alloc(bytes.length), bytes.start ?? 0, ended);
  } finally {
    await file.close();
  }
}

/** An image, or why there is none: a promise that never rejects, since it is awaited late. */
async function decoded(item: DecodeItem, options: DecodeOptions): Promise<RgbImage | { failed: string }> {
  try {
    return await decodeImage(item.id, await read(item), item.encoding, options);
  } catch (error) {
    return { failed: messageOf(error) };
  }
}

if (parentPort !== null) {
  const port = parentPort;
  const { preprocessing, decode, slots } = workerData as DecodeSetup;
  const size = inputBytes(preprocessing);
  // The encoder wants the cores: libvips gets none beyond the thread that decodes.
  sharp.concurrency(1);
  sharp.cache(false);
  let stopping = false;

  const run = async ({ batch, slot, items }: DecodeTask): Promise<DecodeResult> => {
    const pixels = new Uint8Array(slots[slot]!);
    const good: number[] = [];
    const bad: { place: number; reason: string }[] = [];
    let next = items.length > 0 ? decoded(items[0]!, decode) : undefined;
    for (let place = 0; place < items.length && !stopping; place++) {
      const image = await next!;
      // The next image is decoded, on a thread of libuv's, while this one is resampled here.
      if (place + 1 < items.length) next = decoded(items[place + 1]!, decode);
      if ("failed" in image) {
        bad.push({ place, reason: image.failed });
        continue;
      }
      preprocess(image, preprocessing, pixels.subarray(good.length * size, (good.length + 1) * size));
      good.push(place);
    }
    return { batch, good, bad };
  };

  let queue = Promise.resolve();
  port.on("message", (message: DecodeMessage) => {
    if (message === null) {
      stopping = true;
      queue = queue.then(() => port.close());
    } else {
      queue = queue.then(async () => {
        if (!stopping) port.postMessage(await run(message));
      });
    }
  });
}
