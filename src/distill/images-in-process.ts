import { type ChunkPlan, chunkedEncoder, planChunks } from "../encoder/chunks.ts";
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

/** Opens the images of a run, all of them computed in this process by `runtime`. */
export async function imagesInProcess(
  runtime: Runtime,
  encoder: Encoder,
  config: DistillConfig,
  memoryBytes: number,
  { parameters, reload, cut }: ImagesStart,
): Promise<OpenImages> {
  const { count, size } = parameters;
  const { precision, featureSize } = encoder;
  const id = encoder.provenance.id;
  const { plan, derived } = await planChunks(runtime, encoder, count, viewCount(config), memoryBytes, cut);
  const compiled = await compileDerivative(runtime, derived, plan.activations, { precision });
  const setup = { config, size, encoder: { folder: "", plan, id } };
  const parts = async (): Promise<ShardParts> => ({
    config,
    encoder: chunkedEncoder(compiled, plan, id),
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
  const images = await ShardedImages.start(setup, featureSize, parameters, reload, [
    () => new ShardHost(parts),
  ]);
  return { images, plan, processes: 1 };
}

/** Images that are computed in this process with parts that are there already. */
export async function imagesOf(parts: ShardParts, parameters: SyntheticParameters): Promise<SyntheticImages> {
  const { config, encoder } = parts;
  const setup = { config, size: parameters.size, encoder: { folder: "", plan: encoder.plan, id: "" } };
  const reload = async () => parameters;
  return ShardedImages.start(setup, encoder.featureSize, parameters, reload, [
    () => new ShardHost(async () => parts),
  ]);
}
