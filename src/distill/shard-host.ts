import { partOf, type SyntheticParameters } from "../synthetic/parameters.ts";
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
  /** Whether the encoders are released. */
  #finished = false;
  /** By their places. */
  readonly #shards = new Map<number, Shard>();
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
      case "features": {
        const { step, levels, places } = request;
        return this.#each((shard) => shard.features(step, levels), places);
      }
      case "update": {
        const { learningRate, cotangents, places } = request;
        await this.#each((shard, i) => shard.update(cotangents[i], learningRate), places);
        return null;
      }
      case "parameters":
        // Whoever asks for some of the shards does not wait for the others: the next request may come before these are used.
        return this.#each(
          async ({ parameters }) => (request.places ? partOf(parameters, 0, parameters.count) : parameters),
          request.places,
        );
      case "hold": {
        const { place, shard } = request;
        if (shard === null) this.#shards.delete(place);
        else this.#shards.set(place, new Shard(this.#parts!, place, shard));
        return null;
      }
      case "images":
        return this.#shards.get(request.place)!.images();
      case "plain":
        return this.#each((shard) => shard.plainFeatures());
      case "encode":
        return this.#shards.get(request.place)!.encode(request.images);
      case "finish":
        await this.#releaseEncoders();
        return null;
    }
  }

  async #start(setup: ShardSetup, shards: readonly SyntheticParameters[]): Promise<void> {
    const parts = await this.#open(setup);
    this.#parts = parts;
    this.#finished = false;
    this.#shards.clear();
    for (const [place, parameters] of shards.entries())
      this.#shards.set(place, new Shard(parts, place, parameters));
  }

  /** One after the other: they share the encoders. */
  async #each<T>(
    work: (shard: Shard, index: number) => Promise<T>,
    places: readonly number[] = [...this.#shards.keys()],
  ): Promise<T[]> {
    const results: T[] = [];
    for (const [index, place] of places.entries()) results.push(await work(this.#shards.get(place)!, index));
    return results;
  }

  async end(): Promise<void> {
    await this.#queue;
    await this.#releaseEncoders();
    const parts = this.#parts;
    this.#parts = undefined;
    await parts?.renderer.release();
  }

  /** The renderer stays: images are made from parameters by it. */
  async #releaseEncoders(): Promise<void> {
    const parts = this.#parts;
    if (parts === undefined || this.#finished) return;
    this.#finished = true;
    for (const part of [...parts.encoders, parts.augmenter]) await part?.release();
  }
}
