import { Tensor } from "onnxruntime-common";
import { UsageError } from "../errors.ts";
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
  /** Of the images, where they are resized to the encoder's input (default: they have its size). */
  readonly side?: number;
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
): Promise<{ plan: ChunkPlan; derive: () => Promise<DerivedPlan> }> {
  let batch = encoder.fixedBatch ?? given?.batch ?? chunkSize(count, encoder.imagesACall);
  const side = given?.side;
  /** The latest plan, where one was made. */
  let derived: DerivedPlan | undefined;
  const callBytesAt = (images: number) => {
    derived = undefined;
    return encoder.kept.value({ what: "bytes of intermediates", batch: images, side }, async () => {
      derived = await encoder.plan(images, side);
      return derived.savedBytes;
    });
  };
  let callBytes = await callBytesAt(batch);
  while (callBytes > memoryBytes && batch > 1 && encoder.fixedBatch === undefined) {
    batch = Math.max(1, Math.floor(batch / Math.ceil(callBytes / memoryBytes)));
    callBytes = await callBytesAt(batch);
  }
  const chunks = Math.ceil(count / batch);
  const activations =
    given?.activations ??
    (runtime.handsOver && callBytes * chunks * views <= memoryBytes ? "save" : "recompute");
  const activationBytes = callBytes * (activations === "save" ? chunks * views : 1);
  const plan = { batch, chunks, activations, callBytes, activationBytes };
  return { plan, derive: async () => derived ?? encoder.plan(batch, side) };
}

/** One encoder's part of a plan for several. */
export interface PlannedEncoder {
  readonly encoder: Encoder;
  readonly plan: ChunkPlan;
  derive(): Promise<DerivedPlan>;
}

/**
 * The same for several encoders that see the same images, side × side: one cut for all of them, and intermediates that are
 * kept where those of all encoders fit together.
 * @returns what each encoder makes, and all of them together
 * @throws UsageError for encoders that run at one batch each, and not at the same
 */
export async function planEncoders(
  runtime: Runtime,
  encoders: readonly Encoder[],
  count: number,
  views: number,
  memoryBytes: number,
  given: Cut & { readonly side: number },
): Promise<{ readonly plan: ChunkPlan; readonly planned: readonly PlannedEncoder[] }> {
  const fixed = new Set(encoders.flatMap(({ fixedBatch }) => fixedBatch ?? []));
  if (fixed.size > 1) {
    throw new UsageError(
      `The encoders' files fix batches of ${[...fixed].join(" and ")} images, and all of them see the same images. Expected ` +
        "one batch, or models that leave it open: export them with a dynamic batch.",
    );
  }
  let batch =
    [...fixed][0] ??
    given.batch ??
    chunkSize(count, Math.min(...encoders.map(({ imagesACall }) => imagesACall)));
  for (;;) {
    const planned: PlannedEncoder[] = [];
    for (const encoder of encoders) {
      // One call's intermediates of all encoders are there at the same time at most.
      const room = memoryBytes / encoders.length;
      planned.push({
        encoder,
        ...(await planChunks(runtime, encoder, count, views, room, { ...given, batch })),
      });
    }
    const least = Math.min(...planned.map(({ plan }) => plan.batch));
    if (least < batch) {
      batch = least;
      continue;
    }
    const callBytes = planned.reduce((sum, { plan }) => sum + plan.callBytes, 0);
    const chunks = Math.ceil(count / batch);
    const activations =
      given.activations ??
      (runtime.handsOver && callBytes * chunks * views <= memoryBytes ? "save" : "recompute");
    const times = activations === "save" ? chunks * views : 1;
    const planOf = (bytes: number): ChunkPlan => ({
      batch,
      chunks,
      activations,
      callBytes: bytes,
      activationBytes: bytes * times,
    });
    return {
      plan: planOf(callBytes),
      planned: planned.map((one) => ({ ...one, plan: planOf(one.plan.callBytes) })),
    };
  }
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
  const { plan, derive } = await planChunks(runtime, encoder, count, views, memoryBytes, given);
  const { precision } = encoder;
  const compiled = await compileDerivative(runtime, await derive(), plan.activations, { precision });
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
