import { type ChunkedEncoder, type ChunkPlan, chunkedEncoder, planEncoders } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { compileDerivative } from "../onnx-vjp/compile/differentiable.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { augmentationOf } from "../synthetic/augment.ts";
import { createAugmenter } from "../synthetic/augmenter.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import { createRenderer } from "../synthetic/renderer.ts";
import type { ShardCut } from "./run-state.ts";
import type { ShardParts } from "./shard.ts";
import { ShardHost } from "./shard-host.ts";
import type { ShardSetup } from "./shard-messages.ts";
import { ShardedImages } from "./sharded-images.ts";
import type { Reload, SyntheticImages } from "./synthetic-images.ts";
import { viewCount } from "./views.ts";

/** Where a run starts. */
export interface ImagesStart {
  readonly parameters: SyntheticParameters;
  /** Gives these parameters again, should some be lost. */
  readonly reload: Reload;
  /** How a run that is taken up again is cut; or what of it is not to be chosen here. */
  readonly cut?: Partial<ShardCut> | undefined;
}

/** The images of a run, and how they are computed. */
export interface OpenImages {
  readonly images: SyntheticImages;
  readonly plan: ChunkPlan;
  /** Processes that compute them, this one included. */
  readonly processes: number;
}

/** d of all encoders together. */
export const featureSizeOf = (encoders: readonly { readonly featureSize: number }[]): number =>
  encoders.reduce((sum, { featureSize }) => sum + featureSize, 0);

/** Opens the images of a run, which the encoders see resized where they take another size, all of them computed in this process by `runtime`. */
export async function imagesInProcess(
  runtime: Runtime,
  encoders: readonly Encoder[],
  config: DistillConfig,
  memoryBytes: number,
  { parameters, reload, cut }: ImagesStart,
): Promise<OpenImages> {
  const { count, size } = parameters;
  const given = { ...cut, side: size };
  const { plan, planned } = await planEncoders(
    ...([runtime, encoders, count, viewCount(config), memoryBytes, given] as const),
  );
  const compiled: ChunkedEncoder[] = [];
  for (const { encoder, plan: own, derive } of planned) {
    const { precision, provenance } = encoder;
    const derivative = await compileDerivative(runtime, await derive(), plan.activations, { precision });
    compiled.push(chunkedEncoder(derivative, own, provenance.id));
  }
  const setup: ShardSetup = {
    config,
    size,
    encoders: planned.map((one) => ({ folder: "", plan: one.plan, id: one.encoder.provenance.id })),
  };
  const parts = async (): Promise<ShardParts> => ({
    config,
    encoders: compiled,
    renderer: createRenderer(runtime, plan.batch, config.weightDecay),
    augmenter:
      config.augment > 0
        ? await createAugmenter(
            runtime,
            augmentationOf(config),
            ...([config.seed, plan.batch, size, size] as const),
          )
        : undefined,
  });
  const images = await ShardedImages.start(setup, featureSizeOf(encoders), parameters, reload, [
    () => new ShardHost(parts),
  ]);
  return { images, plan, processes: 1 };
}

/** Images that are computed in this process with parts that are there already. */
export async function imagesOf(parts: ShardParts, parameters: SyntheticParameters): Promise<SyntheticImages> {
  const { config, encoders } = parts;
  const described = encoders.map(({ plan }) => ({ folder: "", plan, id: "" }));
  const setup: ShardSetup = { config, size: parameters.size, encoders: described };
  const reload = async () => parameters;
  return ShardedImages.start(setup, featureSizeOf(encoders), parameters, reload, [
    () => new ShardHost(async () => parts),
  ]);
}
