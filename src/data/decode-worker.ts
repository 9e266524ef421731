/** A thread that decodes and preprocesses batches of images into memory shared with `decode-pool.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import sharp from "sharp";
import type { DecodeOptions } from "../images/decode.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import { type DecodeItem, decoded } from "./decode-item.ts";

/** What a worker is started with. */
export interface DecodeSetup {
  readonly preprocessing: Preprocessing;
  readonly decode: DecodeOptions;
  /** One for each batch under way, each for the largest batch. */
  readonly slots: readonly SharedArrayBuffer[];
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
