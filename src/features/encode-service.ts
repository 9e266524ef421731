import sharp from "sharp";
import { type DecodeItem, decoded } from "../data/decode-item.ts";
import { batchedFeatures, type FeatureShape } from "../encoder/batched-features.ts";
import type { Service } from "../helpers/serve.ts";
import { decodeOptionsFor } from "../images/decode.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import type { Session } from "../onnx-vjp/graph/runtime.ts";
import { openForward } from "../onnx-vjp/runtime/stored.ts";

/** What whoever encodes images must know before the first ones. */
export interface EncodeSetup {
  readonly kind: "start";
  /** Where `storeForward` wrote the encoder's graph. */
  readonly folder: string;
  readonly shape: FeatureShape;
  readonly preprocessing: Preprocessing;
}

/** Images to read, decode, resize and encode. */
export interface EncodeTask {
  readonly kind: "encode";
  readonly items: readonly DecodeItem[];
}

/** Nothing more will be encoded. */
export interface EncodeEnd {
  readonly kind: "end";
}

/** Features of the images that could be read, in order, as places in the task; and the others. */
export interface EncodeReply {
  /** good.length × d. */
  readonly features: Float32Array;
  readonly good: readonly number[];
  readonly bad: readonly { readonly place: number; readonly reason: string }[];
}

/**
 * Encodes images with one thread: the next image is decoded, on a thread of libuv's, while the encoder runs. Features
 * depend on the images of a task alone.
 */
export function encodeService(): Service {
  let session: Session | undefined;
  let setup: EncodeSetup;
  return async (request) => {
    const given = request as EncodeSetup | EncodeTask | EncodeEnd;
    if (given.kind === "encode") return encode(session!, setup, given.items);
    if (given.kind === "end") return session?.release();
    // Other processes have the other cores: libvips gets none beyond the thread that decodes.
    sharp.concurrency(1);
    sharp.cache(false);
    setup = given;
    session = await openForward(given.folder);
    return null;
  };
}

async function encode(
  session: Session,
  { preprocessing, shape }: EncodeSetup,
  items: readonly DecodeItem[],
): Promise<EncodeReply> {
  const options = decodeOptionsFor(preprocessing);
  const size = inputBytes(preprocessing);
  const { batch, featureSize } = shape;
  const features = new Float32Array(items.length * featureSize);
  const pixels = new Uint8Array(batch * size);
  const good: number[] = [];
  const bad: EncodeReply["bad"][number][] = [];
  let filled = 0;
  const flush = async () => {
    const first = good.length - filled;
    const nameOf = (i: number) => items[good[first + i]!].id;
    const part = pixels.subarray(0, filled * size);
    features.set(await batchedFeatures(session, shape, part, filled, nameOf), first * featureSize);
    filled = 0;
  };
  let next = items.length > 0 ? decoded(items[0], options) : undefined;
  for (let place = 0; place < items.length; place++) {
    const image = await next!;
    if (place + 1 < items.length) next = decoded(items[place + 1], options);
    if ("failed" in image) {
      bad.push({ place, reason: image.failed });
      continue;
    }
    preprocess(image, preprocessing, pixels.subarray(filled * size, (filled + 1) * size));
    good.push(place);
    if (++filled === batch) await flush();
  }
  if (filled > 0) await flush();
  return { features: features.subarray(0, good.length * featureSize), good, bad };
}
