import { Tensor } from "onnxruntime-common";
import {
  type Activations,
  compileDerivative,
  type DerivedPlan,
  type Differentiable,
  letGo,
  type Saved,
} from "../onnx-vjp/compile/differentiable.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { type Encoder, imagesInput, requireFinite } from "./encoder.ts";
import { chunkSize } from "./images-per-call.ts";

/** How the passes over the synthetic images are cut into chunks, and why; shown before a run starts. */
export interface ChunkPlan {
  /** Images in one call. */
  readonly batch: number;
  readonly chunks: number;
  readonly activations: Activations;
  /** Bytes of intermediates that are alive at once. */
  readonly activationBytes: number;
}

/** Features and pullback of a fixed number of images, chunk by chunk. */
export interface ChunkedEncoder {
  readonly plan: ChunkPlan;
  readonly featureSize: number;
  /** Features [batch, d] of slot `index` (one for each chunk and view), whose images are [batch, 3, H, W] in [0, 1]. */
  features(index: number, images: Float32Array): Promise<Float32Array>;
  /** Cotangent of the images from that of the chunk's features, in `into` if given; after `features(index, images)`. */
  pullback(
    index: number,
    images: Float32Array,
    cotangent: Float32Array,
    into?: Float32Array,
  ): Promise<Float32Array>;
  release(): Promise<void>;
}

/**
 * Compiles an encoder for `count` images, each in `views` versions, within about `memoryBytes` of intermediates: saves the forward's
 * intermediates for the pullback where those of all images fit and need not be copied from a card and back,
 * recomputes them chunk by chunk elsewhere.
 */
export async function createChunkedEncoder(
  runtime: Runtime,
  encoder: Encoder,
  count: number,
  views: number,
  memoryBytes: number,
  force?: { batch?: number; activations?: Activations },
): Promise<ChunkedEncoder> {
  let batch = encoder.fixedBatch ?? chunkSize(count, force?.batch ?? encoder.imagesACall);
  let plan: DerivedPlan = await encoder.plan(batch);
  while (plan.savedBytes > memoryBytes && batch > 1 && encoder.fixedBatch === undefined) {
    batch = Math.max(1, Math.floor(batch / Math.ceil(plan.savedBytes / memoryBytes)));
    plan = await encoder.plan(batch);
  }
  const chunks = Math.ceil(count / batch);
  const activations =
    force?.activations ??
    (runtime.handsOver && plan.savedBytes * chunks * views <= memoryBytes ? "save" : "recompute");
  const { precision } = encoder;
  const compiled: Differentiable = await compileDerivative(runtime, plan, activations, { precision });
  const saved: Saved[] = [];
  const d = encoder.featureSize;
  const [height, width] = encoder.preprocessing.crop;
  const feedsOf = (images: Float32Array) => ({
    [imagesInput]: new Tensor("float32", images, [batch, 3, height, width]),
  });
  return {
    plan: {
      batch,
      chunks,
      activations,
      activationBytes: plan.savedBytes * (activations === "save" ? chunks * views : 1),
    },
    featureSize: d,
    async features(index, images) {
      const { value, saved: kept } = await compiled.forward(feedsOf(images), saved[index]);
      if (activations === "save") saved[index] = kept;
      requireFinite(value, d, encoder.provenance.id);
      return value;
    },
    async pullback(index, images, cotangent, into) {
      const kept = saved[index] ?? {};
      const buffers = into === undefined ? undefined : { [imagesInput]: into };
      return (await compiled.pullback(feedsOf(images), kept, cotangent, buffers))[imagesInput]!;
    },
    async release() {
      for (const kept of saved) letGo(kept ?? {});
      await compiled.release();
    },
  };
}
