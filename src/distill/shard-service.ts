import { type ChunkedEncoder, chunkedEncoder } from "../encoder/chunks.ts";
import type { Service } from "../helpers/serve.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { openDerivative } from "../onnx-vjp/runtime/stored.ts";
import { augmentationOf } from "../synthetic/augment.ts";
import { createAugmenter } from "../synthetic/augmenter.ts";
import { createRenderer } from "../synthetic/renderer.ts";
import type { ShardParts } from "./shard.ts";
import { ShardHost } from "./shard-host.ts";
import type { ShardRequest, ShardSetup } from "./shard-messages.ts";

/** Opens what shards are computed with, each with one thread. */
export async function openShardParts({ config, size, encoders }: ShardSetup): Promise<ShardParts> {
  const runtime = nodeRuntime({ threads: 1 });
  const { batch } = encoders[0].plan;
  const opened: ChunkedEncoder[] = [];
  for (const { folder, plan, id } of encoders)
    opened.push(chunkedEncoder(await openDerivative(folder), plan, id));
  return {
    config,
    encoders: opened,
    renderer: createRenderer(runtime, batch, config.weightDecay),
    augmenter:
      config.augment > 0
        ? await createAugmenter(runtime, augmentationOf(config), config.seed, batch, size, size)
        : undefined,
  };
}

/** The shards of a helper process. */
export function shardService(): Service {
  const host = new ShardHost(openShardParts);
  return (request) => host.request(request as ShardRequest);
}
