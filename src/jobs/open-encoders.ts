import type { JobContext } from "../context.ts";
import { createChunkedEncoder } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import { InterruptedError, UsageError } from "../errors.ts";
import { encoderInput, type ImageLike } from "../images/input.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";

/** What a caller knows of an encoder that it holds a handle of. */
export interface OpenedEncoder
  extends Pick<Encoder, "provenance" | "preprocessing" | "feature" | "form" | "featureSize" | "precision"> {
  readonly handle: string;
}

export interface FeaturesOfPixels {
  readonly handle: string;
  /** n × 3 × H × W: floats in [0, 1] or bytes in [0, 255]. */
  readonly images: Float32Array | Uint8Array;
  readonly count: number;
}

export interface FeaturesOfImages {
  readonly handle: string;
  readonly images: readonly ImageLike[];
}

export interface PullbackToPixels {
  readonly handle: string;
  /** n × 3 × H × W in [0, 1]. */
  readonly images: Float32Array;
  /** n × d. */
  readonly cotangent: Float32Array;
  readonly count: number;
}

const imagesAtATime = 32;

const held = new Map<string, { readonly runtime: Runtime; readonly encoder: Encoder }>();
let handles = 0;

/** Opens an encoder that stays until its handle is released. */
export async function openHandle(params: EncoderParams, context: JobContext): Promise<OpenedEncoder> {
  const opened = await openEncoder(params, context);
  // A handle of a worker that has ended must not name an encoder of the next one.
  const handle = `${process.pid}-${handles++}`;
  held.set(handle, opened);
  const { provenance, preprocessing, feature, form, featureSize, precision } = opened.encoder;
  return { handle, provenance, preprocessing, feature, form, featureSize, precision };
}

/** Features n × d, row-major. */
export async function featuresOfPixels({ handle, images, count }: FeaturesOfPixels): Promise<Float32Array> {
  return encoderOf(handle).encoder.features(images, count);
}

/** Features n × d, row-major, of images through the encoder's own preprocessing; a few are decoded at a time. */
export async function featuresOfImages(
  { handle, images }: FeaturesOfImages,
  context: JobContext,
): Promise<Float32Array> {
  const { encoder } = encoderOf(handle);
  const d = encoder.featureSize;
  const out = new Float32Array(images.length * d);
  for (let start = 0; start < images.length; start += imagesAtATime) {
    if (context.signal.aborted) throw new InterruptedError("Stopped while encoding images.");
    const some = images.slice(start, start + imagesAtATime);
    const pixels = await encoderInput(some, encoder.preprocessing);
    const nameOf = (i: number) => {
      const image = some[i];
      return typeof image === "string" ? image : `image ${start + i}`;
    };
    out.set(await encoder.features(pixels, some.length, nameOf), start * d);
    const done = start + some.length;
    context.progress({ stage: "Encoding images", done, total: images.length, unit: "images" });
  }
  return out;
}

/** Bytes of intermediates of one pullback call. */
const pullbackMemory = 2 ** 30;

/** The gradient of Σ cotangent ∘ features(images) with respect to the images, n × 3 × H × W. */
export async function pullbackToPixels(params: PullbackToPixels): Promise<Float32Array> {
  const { handle, images, cotangent, count } = params;
  const { runtime, encoder } = encoderOf(handle);
  const chunked = await createChunkedEncoder(runtime, encoder, count, 1, pullbackMemory, {
    activations: "recompute",
  });
  try {
    const { batch, chunks } = chunked.plan;
    const pixels = images.length / count;
    const d = encoder.featureSize;
    const out = new Float32Array(images.length);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const input = new Float32Array(batch * pixels);
      const back = new Float32Array(batch * d);
      input.set(images.subarray(chunk * batch * pixels, (chunk + 1) * batch * pixels));
      back.set(cotangent.subarray(chunk * batch * d, (chunk + 1) * batch * d));
      const gradient = await chunked.pullback(chunk, input, back);
      const n = Math.min(batch, count - chunk * batch);
      out.set(gradient.subarray(0, n * pixels), chunk * batch * pixels);
    }
    return out;
  } finally {
    await chunked.release();
  }
}

/** Frees an encoder's native memory. A handle that was released before is ignored. */
export async function releaseHandle({ handle }: { readonly handle: string }): Promise<void> {
  const known = held.get(handle);
  held.delete(handle);
  await known?.encoder.release();
}

function encoderOf(handle: string) {
  const known = held.get(handle);
  if (known === undefined)
    throw new UsageError(
      "This encoder was released, or the process that held it ended. Load it again with loadEncoder.",
    );
  return known;
}
