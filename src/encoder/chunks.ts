import { Tensor } from "onnxruntime-common";
import {
  type Activations,
  compileDerivative,
  type Differentiable,
  letGo,
  type Saved,
} from "../onnx-vjp/compile/differentiable.ts";
import type { DerivedPlan } from "../onnx-vjp/compile/plan.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { featuresOutput, imagesInput, requireFinite } from "./batched-features.ts";
import type { Encoder } from "./encoder.ts";
import { chunkSize } from "./images-per-call.ts";

/** How the passes over the synthetic images are cut into chunks, and why; shown before a run starts. */
export interface ChunkPlan {
  /** Images in one call. */
  readonly batch: number;
  readonly chunks: number;
  readonly activations: Activations;
  /** Bytes of intermediates that one call makes for its pullback. */
  readonly callBytes: number;
  /** Bytes of intermediates that are alive at once, where one process makes all calls. */
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

/** A cut that is given instead of chosen. */
export interface Cut {
  readonly batch?: number;
  readonly activations?: Activations;
}

/**
 * Cuts `count` images, each in `views` versions, into calls within about `memoryBytes` of intermediates: the forward's
 * intermediates are saved for the pullback where those of all images fit and need not be copied from a GPU and back,
 * and recomputed chunk by chunk elsewhere.
 */
export async function planChunks(
  runtime: Runtime,
  encoder: Encoder,
  count: number,
  views: number,
  memoryBytes: number,
  given?: Cut,
): Promise<{ plan: ChunkPlan; derived: DerivedPlan }> {
  let batch = encoder.fixedBatch ?? given?.batch ?? chunkSize(count, encoder.imagesACall);
  let derived: DerivedPlan = await encoder.plan(batch);
  while (derived.savedBytes > memoryBytes && batch > 1 && encoder.fixedBatch === undefined) {
    batch = Math.max(1, Math.floor(batch / Math.ceil(derived.savedBytes / memoryBytes)));
    derived = await encoder.plan(batch);
  }
  const chunks = Math.ceil(count / batch);
  const callBytes = derived.savedBytes;
  const activations =
    given?.activations ??
    (runtime.handsOver && callBytes * chunks * views <= memoryBytes ? "save" : "recompute");
  const activationBytes = callBytes * (activations === "save" ? chunks * views : 1);
  return { plan: { batch, chunks, activations, callBytes, activationBytes }, derived };
}

/** Compiles an encoder for `count` images as `planChunks` cuts them. */
export async function createChunkedEncoder(
  runtime: Runtime,
  encoder: Encoder,
  count: number,
  views: number,
  memoryBytes: number,
  given?: Cut,
): Promise<ChunkedEncoder> {
  const { plan, derived } = await planChunks(runtime, encoder, count, views, memoryBytes, given);
  const { precision } = encoder;
  const compiled = await compileDerivative(runtime, derived, plan.activations, { precision });
  return chunkedEncoder(compiled, plan, encoder.provenance.id);
}

/** A compiled encoder, whose calls are those of a plan. @param id what errors call it */
export function chunkedEncoder(compiled: Differentiable, plan: ChunkPlan, id: string): ChunkedEncoder {
  const saved: Saved[] = [];
  const { dims } = compiled.inputs.get(imagesInput)!;
  const featureSize = compiled.outputs.get(featuresOutput)!.dims[1];
  const feedsOf = (images: Float32Array) => ({ [imagesInput]: new Tensor("float32", images, dims) });
  return {
    plan,
    featureSize,
    async features(index, images) {
      const { value, saved: kept } = await compiled.forward(feedsOf(images), saved[index]);
      if (plan.activations === "save") saved[index] = kept;
      requireFinite(value, featureSize, id);
      return value;
    },
    async pullback(index, images, cotangent, into) {
      const kept = saved[index] ?? {};
      const buffers = into === undefined ? undefined : { [imagesInput]: into };
      return (await compiled.pullback(feedsOf(images), kept, cotangent, buffers))[imagesInput];
    },
    async release() {
      for (const kept of saved) letGo(kept ?? {});
      await compiled.release();
    },
  };
}
