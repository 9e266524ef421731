import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type ChunkPlan, planEncoders } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { imagesACall, shardSize } from "../encoder/images-per-call.ts";
import { makeFolders } from "../files/disk.ts";
import { temporaryFolder } from "../files/temporary.ts";
import { startHelper } from "../helpers/process.ts";
import { derivativeGraphs } from "../onnx-vjp/compile/differentiable.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { storeDerivative } from "../onnx-vjp/runtime/stored.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { featureSizeOf, type ImagesStart, imagesInProcess, type OpenImages } from "./images-in-process.ts";
import { ShardHost } from "./shard-host.ts";
import type { ShardHolder, ShardSetup } from "./shard-messages.ts";
import { openShardParts } from "./shard-service.ts";
import { ShardedImages } from "./sharded-images.ts";
import type { SyntheticImages } from "./synthetic-images.ts";
import { viewCount } from "./views.ts";

/** What a helper process takes beside intermediates: Node, ONNX Runtime and the images. */
const helperBytes = 80 * 2 ** 20;

/**
 * Opens the images of a run, which the encoders see resized where they take another size: shared out among this process and helpers, one for each of the runtime's threads as far
 * as `memoryBytes` allow; on a device, in this process.
 */
export async function openImages(
  runtime: Runtime,
  encoders: readonly Encoder[],
  config: DistillConfig,
  memoryBytes: number,
  { parameters, reload, cut }: ImagesStart,
): Promise<OpenImages> {
  const { count, size } = parameters;
  const views = viewCount(config);
  if (runtime.device !== "cpu") {
    return imagesInProcess(runtime, encoders, config, memoryBytes, { parameters, reload, cut });
  }
  const bytes = Math.max(...encoders.map(({ bytesPerImage }) => bytesPerImage));
  const ideal = imagesACall({ device: "cpu", threads: 1 }, bytes);
  const batch = cut?.batch ?? shardSize(count, ideal, availableParallelism());
  const given = { ...cut, batch, side: size };
  const { plan, planned } = await planEncoders(runtime, encoders, count, views, memoryBytes, given);
  const { path, remove } = await temporaryFolder("graphs");
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
    const setup: ShardSetup = { config, size, encoders: stored };
    const processes = processCount(runtime.threads, plan, memoryBytes);
    const holders = Array.from({ length: processes }, (_, k) =>
      k === 0 ? () => new ShardHost(openShardParts) : helperHolder,
    );
    const images = await ShardedImages.start(setup, featureSizeOf(encoders), parameters, reload, holders);
    return { images: releasing(images, remove), plan, processes: Math.min(processes, plan.chunks) };
  } catch (error) {
    await remove();
    throw error;
  }
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
