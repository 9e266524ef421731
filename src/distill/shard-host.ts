import type { SyntheticParameters } from "../synthetic/parameters.ts";
import { Shard, type ShardParts } from "./shard.ts";
import type {
  ShardHolder,
  ShardReplies,
  ShardRequest,
  ShardRequestOf,
  ShardSetup,
} from "./shard-messages.ts";

/** Holds shards in this process. */
export class ShardHost implements ShardHolder {
  readonly #open: (setup: ShardSetup) => Promise<ShardParts>;
  #parts: ShardParts | undefined;
  #shards: readonly Shard[] = [];
  #queue: Promise<unknown> = Promise.resolve();

  /** @param open makes what the shards of a setup are computed with */
  constructor(open: (setup: ShardSetup) => Promise<ShardParts>) {
    this.#open = open;
  }

  request<Kind extends ShardRequest["kind"]>(request: ShardRequestOf<Kind>): Promise<ShardReplies[Kind]> {
    const reply = this.#queue.then(() => this.#answer(request));
    this.#queue = reply.catch(() => {});
    return reply as Promise<ShardReplies[Kind]>;
  }

  async #answer(request: ShardRequest): Promise<ShardReplies[ShardRequest["kind"]]> {
    switch (request.kind) {
      case "start":
        await this.#start(request.setup, request.shards);
        return null;
      case "features":
        return this.#each((shard) => shard.features(request.step, request.levels));
      case "update":
        await this.#each((shard, i) => shard.update(request.cotangents[i], request.learningRate));
        return null;
      case "parameters":
        return this.#shards.map((shard) => shard.parameters);
      case "images":
        return this.#shards[request.place].images();
      case "plain":
        return this.#each((shard) => shard.plainFeatures());
      case "encode":
        return this.#shards[request.place].encode(request.images);
    }
  }

  async #start(setup: ShardSetup, shards: readonly SyntheticParameters[]): Promise<void> {
    const parts = await this.#open(setup);
    this.#parts = parts;
    this.#shards = shards.map((parameters, place) => new Shard(parts, place, parameters));
  }

  /** One after the other: they share the encoders. */
  async #each<T>(work: (shard: Shard, place: number) => Promise<T>): Promise<T[]> {
    const results: T[] = [];
    for (const [place, shard] of this.#shards.entries()) results.push(await work(shard, place));
    return results;
  }

  async end(): Promise<void> {
    await this.#queue;
    const parts = this.#parts;
    this.#parts = undefined;
    for (const part of [...(parts?.encoders ?? []), parts?.renderer, parts?.augmenter]) await part?.release();
  }
}
