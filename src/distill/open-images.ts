import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type ChunkPlan, planEncoders } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { imagesACall, shardSize } from "../encoder/images-per-call.ts";
import { makeFolders } from "../files/disk.ts";
import { temporaryFolder } from "../files/temporary.ts";
import { loadService } from "../helpers/messages.ts";
import { type Helper, startHelper } from "../helpers/process.ts";
import { derivativeGraphs } from "../onnx-vjp/compile/differentiable.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { storeDerivative } from "../onnx-vjp/runtime/stored.ts";
import type { DistillConfig } from "../recipe/config.ts";
import {
  featureSizeOf,
  type ImagesStart,
  imagesInProcess,
  type OpenImages,
  type ShardDemand,
  type ShardWorkers,
  workerInProcess,
} from "./images-in-process.ts";
import { ShardHost } from "./shard-host.ts";
import type { ShardHolder, ShardSetup } from "./shard-messages.ts";
import { openShardParts } from "./shard-service.ts";
import { ShardedImages } from "./sharded-images.ts";
import type { SyntheticImages } from "./synthetic-images.ts";
import { viewCount } from "./views.ts";

/** What a helper process takes beside intermediates: Node, ONNX Runtime and the images. */
const helperBytes = 80 * 2 ** 20;

/**
 * Opens the images of a run, which the encoders see resized where they take another size: shared out among this process
 * and helpers, one for each of the runtime's threads as far as `memoryBytes` allow; on a device, in this process.
 */
export async function openImages(
  runtime: Runtime,
  encoders: readonly Encoder[],
  config: DistillConfig,
  memoryBytes: number,
  { parameters, reload, cut }: ImagesStart,
  prepared?: Promise<PreparedShards>,
): Promise<OpenImages> {
  if (runtime.device !== "cpu") {
    return imagesInProcess(runtime, encoders, config, memoryBytes, { parameters, reload, cut });
  }
  const { count, size } = parameters;
  prepared ??= prepareShards(runtime, encoders, config, memoryBytes, { count, size, cut });
  const workers = await sharedOut(prepared, config);
  const { setup, plan, featureSize, holders, release } = workers;
  try {
    const images = await ShardedImages.start(setup, featureSize, parameters, reload, holders);
    return { images: releasing(images, release), plan, processes: Math.min(holders.length, plan.chunks) };
  } catch (error) {
    await release();
    throw error;
  }
}

/** What shards are computed with, made before there is a real feature: it depends on the encoders and the number of images. */
export interface PreparedShards extends Omit<ShardWorkers, "setup"> {
  readonly setup: Omit<ShardSetup, "config">;
}

/**
 * Cuts the images of a run into shards, stores the encoders' graphs where any process can open them, and starts the helper
 * processes, which load what they need meanwhile. Of the configuration only the number of views matters. On the CPU.
 */
export async function prepareShards(
  runtime: Runtime,
  encoders: readonly Encoder[],
  config: DistillConfig,
  memoryBytes: number,
  { count, size, cut, helpersAlone = false }: ShardDemand,
): Promise<PreparedShards> {
  const views = viewCount(config);
  const bytes = Math.max(...encoders.map(({ bytesPerImage }) => bytesPerImage));
  const ideal = imagesACall({ device: "cpu", threads: 1 }, bytes);
  const batch = cut?.batch ?? shardSize(count, ideal, availableParallelism());
  const given = { ...cut, batch, side: size };
  const { plan, planned } = await planEncoders(runtime, encoders, count, views, memoryBytes, given);
  const { path, remove } = await temporaryFolder("graphs");
  const processes = processCount(runtime.threads, plan, memoryBytes);
  const ahead = Array.from({ length: helpersAlone ? processes : processes - 1 }, loadedHelper);
  const release = async () => {
    await Promise.all(ahead.splice(0).map((helper) => helper.end()));
    await remove();
  };
  try {
    const stored: ShardSetup["encoders"][number][] = [];
    for (const [k, { encoder, plan: own, derive }] of planned.entries()) {
      const folder = join(path, String(k));
      await makeFolders(folder);
      const graphs = { what: "derivative", batch: plan.batch, side: size, activations: plan.activations };
      await encoder.kept.files(graphs, folder, async () =>
        storeDerivative(folder, await derivativeGraphs(runtime, await derive(), plan.activations)),
      );
      stored.push({ folder, plan: own, id: encoder.provenance.id });
    }
    const holders = Array.from({ length: processes }, (_, k) =>
      k === 0 && !helpersAlone
        ? () => new ShardHost(openShardParts)
        : () => helperHolder(ahead.pop() ?? startHelper()),
    );
    return {
      setup: { size, encoders: stored },
      plan,
      featureSize: featureSizeOf(encoders),
      holders,
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A helper that loads the code of shards before it is asked for any. */
function loadedHelper(): Helper {
  const helper = startHelper();
  // One that cannot be started says so to whoever asks it for something.
  helper.request(loadService, "shards").catch(() => {});
  return helper;
}

/** Makes ready whoever may hold shards. */
export async function openShardWorkers(
  runtime: Runtime,
  encoders: readonly Encoder[],
  config: DistillConfig,
  memoryBytes: number,
  demand: ShardDemand,
): Promise<ShardWorkers> {
  if (runtime.device !== "cpu") return workerInProcess(runtime, encoders, config, memoryBytes, demand);
  return sharedOut(prepareShards(runtime, encoders, config, memoryBytes, demand), config);
}

async function sharedOut(prepared: Promise<PreparedShards>, config: DistillConfig): Promise<ShardWorkers> {
  const { setup, ...workers } = await prepared;
  return { setup: { ...setup, config }, ...workers };
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
function helperHolder(helper: Helper): ShardHolder {
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
