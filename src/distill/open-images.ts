import { availableParallelism } from "node:os";
import { type ChunkPlan, chunkedEncoder, planChunks } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { imagesACall, shardSize } from "../encoder/images-per-call.ts";
import { temporaryFolder } from "../files/temporary.ts";
import { startHelper } from "../helpers/process.ts";
import { compileDerivative, derivativeGraphs } from "../onnx-vjp/compile/differentiable.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { storeDerivative } from "../onnx-vjp/runtime/stored.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { augmentationOf } from "../synthetic/augment.ts";
import { createAugmenter } from "../synthetic/augmenter.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import { createRenderer } from "../synthetic/renderer.ts";
import type { ShardCut } from "./checkpoint.ts";
import type { ShardParts } from "./shard.ts";
import { ShardHost } from "./shard-host.ts";
import type { ShardHolder, ShardSetup } from "./shard-messages.ts";
import { openShardParts } from "./shard-service.ts";
import { ShardedImages } from "./sharded-images.ts";
import type { Reload, SyntheticImages } from "./synthetic-images.ts";
import { viewCount } from "./views.ts";

/** What a helper process takes beside intermediates: Node, ONNX Runtime and the images. */
const helperBytes = 80 * 2 ** 20;

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

/** What computes the shards of a run, before anyone holds one. */
export interface ShardWorkers {
  readonly setup: ShardSetup;
  readonly featureSize: number;
  /** How each holder comes about. */
  readonly holders: readonly (() => ShardHolder)[];
  release(): Promise<void>;
}

/** Which images there are to compute, and how much of it is settled. */
export interface ShardDemand {
  readonly count: number;
  /** Side of the images. */
  readonly size: number;
  readonly cut?: Partial<ShardCut> | undefined;
  /** On the CPU, leave this process free: helpers alone compute. */
  readonly helpersAlone?: boolean;
}

/**
 * Opens the images of a run: shared out among this process and helpers, one for each of the runtime's threads as far
 * as `memoryBytes` allow; on a device, in this process.
 */
export async function openImages(
  runtime: Runtime,
  encoder: Encoder,
  config: DistillConfig,
  memoryBytes: number,
  { parameters, reload, cut }: ImagesStart,
): Promise<OpenImages> {
  const { count, size } = parameters;
  const workers = await openShardWorkers(runtime, encoder, config, memoryBytes, { count, size, cut });
  const { setup, featureSize, holders, release } = workers;
  const { plan } = setup.encoder;
  try {
    const images = await ShardedImages.start(setup, featureSize, parameters, reload, holders);
    return { images: releasing(images, release), plan, processes: Math.min(holders.length, plan.chunks) };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Cuts the images of a run into shards and makes ready whoever may hold them. */
export async function openShardWorkers(
  runtime: Runtime,
  encoder: Encoder,
  config: DistillConfig,
  memoryBytes: number,
  { count, size, cut, helpersAlone = false }: ShardDemand,
): Promise<ShardWorkers> {
  const views = viewCount(config);
  const { precision, featureSize } = encoder;
  const id = encoder.provenance.id;
  if (runtime.device !== "cpu") {
    const { plan, derived } = await planChunks(runtime, encoder, count, views, memoryBytes, cut);
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
    return { setup, featureSize, holders: [() => new ShardHost(parts)], async release() {} };
  }
  const ideal = imagesACall({ device: "cpu", threads: 1 }, encoder.bytesPerImage);
  const batch = cut?.batch ?? shardSize(count, ideal, availableParallelism());
  const given = { ...cut, batch };
  const { plan, derived } = await planChunks(runtime, encoder, count, views, memoryBytes, given);
  const graphs = await derivativeGraphs(runtime, derived, plan.activations);
  const { path: folder, remove } = await temporaryFolder("graphs");
  try {
    await storeDerivative(folder, graphs);
  } catch (error) {
    await remove();
    throw error;
  }
  const setup: ShardSetup = { config, size, encoder: { folder, plan, id } };
  const processes = processCount(runtime.threads, plan, memoryBytes);
  const holders = Array.from({ length: processes }, (_, k) =>
    k === 0 && !helpersAlone ? () => new ShardHost(openShardParts) : helperHolder,
  );
  return { setup, featureSize, holders, release: remove };
}

/**
 * As many processes as there are threads and shards, while what they hold fits: what is kept of all images, and for each
 * process its own and what one call works with.
 */
function processCount(threads: number, plan: ChunkPlan, memoryBytes: number): number {
  const kept = plan.activations === "save" ? plan.activationBytes : 0;
  const room = Math.floor((memoryBytes - kept) / (helperBytes + plan.callBytes));
  return Math.max(1, Math.min(threads, plan.chunks, room));
}

/** Shards in a helper process. */
function helperHolder(): ShardHolder {
  const helper = startHelper();
  return {
    request: (request) => helper.request("shards", request),
    end: () => helper.end(),
  };
}

function releasing(images: ShardedImages, release: () => Promise<void>): SyntheticImages {
  const before = images.release.bind(images);
  return Object.assign(images, {
    async release() {
      await before();
      await release();
    },
  });
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
