import { batchedFeatures, type FeatureShape } from "../encoder/batched-features.ts";
import type { Service } from "../helpers/serve.ts";
import { edits } from "../images/edits.ts";
import type { Interpolation } from "../images/resample.ts";
import { resampleFloat } from "../images/resample-float.ts";
import type { Session } from "../onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { openForward } from "../onnx-vjp/runtime/stored.ts";
import { ortGemm } from "../probe/ort-gemm.ts";
import { createDrawer, type Drawer, type DrawRange } from "./augmented-features.ts";
import { type HeadTraining, trainRates } from "./train-heads.ts";
import { type PooledFeatures, unpooled } from "./training-features.ts";

/** What whoever does a share of an evaluation must know before its first task. */
export interface EvaluationSetup {
  readonly kind: "start";
  /** The encoder, where it runs in these processes: where `storeForward` wrote its graph, and how images come to its size. */
  readonly encoder:
    | { readonly folder: string; readonly shape: FeatureShape; readonly interpolation: Interpolation }
    | undefined;
  /** What learning rates are chosen on. */
  readonly validation: PooledFeatures;
}

/** Images to edit, to resize to the encoder's input and to encode. */
export interface EncodeImages {
  readonly kind: "encode";
  /** n × 3 × size × size in [0, 1]. */
  readonly images: Float32Array;
  readonly size: number;
  /** Number of the first image in its set. */
  readonly start: number;
  /** Name of the edit. */
  readonly edit: string | undefined;
}

/** How many images there are. */
export const imagesOf = ({ images, size }: EncodeImages): number => images.length / (3 * size * size);

/** The images after the edit, as an encoder takes them: edits come first, as they would to whoever has the set. */
export async function inputOf(
  { images, size, start, edit }: EncodeImages,
  crop: FeatureShape["crop"],
  interpolation: Interpolation,
): Promise<Float32Array> {
  const found = edits.find(({ name }) => name === edit);
  const edited = found ? await found.apply(images, size, start) : images;
  return resampleFloat(edited, size, crop, interpolation);
}

export interface EncodeDrawn extends DrawRange {
  readonly kind: "draws";
}

export interface TrainHeads {
  readonly kind: "heads";
  readonly training: PooledFeatures;
  readonly validation: "own" | PooledFeatures | undefined;
  readonly given: HeadTraining;
}

/** The replies are features, n × d, and `TunedHead`s. */
export type EvaluationTask = EncodeImages | EncodeDrawn | TrainHeads;

/** Nothing more will be asked for. */
export const evaluationEnd = { kind: "end" } as const;

/**
 * A share of an evaluation, with one thread: what a task gives depends on nothing else, so that it is the same wherever
 * it is done. @param signal stops the training of heads in this process
 */
export function evaluationService(signal?: AbortSignal): Service {
  const runtime = nodeRuntime({ threads: 1 });
  const gemm = ortGemm(runtime);
  let setup: EvaluationSetup;
  let session: Session | undefined;
  let drawer: Promise<Drawer> | undefined;
  const encode = (images: Float32Array, count: number, nameOf?: (i: number) => string) =>
    batchedFeatures(session!, setup.encoder!.shape, images, count, nameOf);
  return async (request) => {
    const given = request as EvaluationSetup | EvaluationTask | typeof evaluationEnd;
    switch (given.kind) {
      case "start":
        setup = given;
        session = given.encoder && (await openForward(given.encoder.folder));
        return null;
      case "encode": {
        const { shape, interpolation } = setup.encoder!;
        const { start } = given;
        const taken = await inputOf(given, shape.crop, interpolation);
        return encode(taken, imagesOf(given), (i) => `image ${start + i} of the set`);
      }
      case "draws": {
        const { shape } = setup.encoder!;
        drawer ??= createDrawer(runtime, shape.crop[0]);
        return (await drawer).encode(given, shape.featureSize, encode);
      }
      case "heads": {
        const { training, validation } = given;
        const used = validation === "own" ? setup.validation : validation;
        return trainRates(unpooled(training), used && unpooled(used), given.given, gemm, signal);
      }
      case "end":
        await session?.release();
        await (await drawer)?.release();
        await gemm.release();
        return null;
    }
  };
}
