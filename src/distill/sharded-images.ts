import type { Edit } from "../images/edits.ts";
import { joined, levelCount, partOf, type SyntheticParameters } from "../synthetic/parameters.ts";
import { ReplacedHolder } from "./replaced-holder.ts";
import type { ShardHolder, ShardSetup } from "./shard-messages.ts";
import type { Reload, RenderedImages, SyntheticImages } from "./synthetic-images.ts";
import { viewCount } from "./views.ts";

/** Bytes of requests that are kept for a holder that is lost, before the shards' state is asked for instead. */
const mostKept = 2 ** 24;

/** A shard: which images it has, and which of its holder's shards it is. */
interface Place {
  readonly start: number;
  readonly count: number;
  readonly holder: number;
  readonly place: number;
}

/**
 * The images of a run in shards of a fixed size, shared out among holders. Every number is a shard's own, so the
 * holders' number changes none.
 */
export class ShardedImages implements SyntheticImages {
  readonly count: number;
  readonly featureSize: number;
  readonly levelCount: number;
  readonly #size: number;
  readonly #views: number;
  readonly #shards: readonly Place[];
  readonly #holders: readonly ReplacedHolder[];
  #reload: Reload;
  /** What went wrong in an update that nobody waited for. */
  #failure: { readonly error: unknown } | undefined;
  #latest: Promise<unknown> = Promise.resolve();
  /** A state that is being asked for to forget old requests. */
  #forgetting: Promise<void> | undefined;

  private constructor(
    { config }: ShardSetup,
    { parametrization, count, size }: SyntheticParameters,
    featureSize: number,
    shards: readonly Place[],
    holders: readonly ReplacedHolder[],
    reload: Reload,
  ) {
    this.count = count;
    this.featureSize = featureSize;
    this.levelCount = levelCount(parametrization, size);
    this.#size = size;
    this.#views = viewCount(config);
    this.#shards = shards;
    this.#holders = holders;
    this.#reload = reload;
  }

  /**
   * Shares the images out and waits until every holder is ready.
   * @param first the state to start from, which `reload` gives again
   * @param holders how each holder comes about; called again for one that is lost
   */
  static async start(
    setup: ShardSetup,
    featureSize: number,
    first: SyntheticParameters,
    reload: Reload,
    holders: readonly (() => ShardHolder)[],
  ): Promise<ShardedImages> {
    const shards = shareOut(first.count, setup.encoders[0].plan.batch, holders.length);
    const used = holders.slice(0, new Set(shards.map(({ holder }) => holder)).size);
    let images: ShardedImages | undefined;
    const own = used.map((make, k) => {
      const places = shards.filter(({ holder }) => holder === k);
      return new ReplacedHolder(make, setup, async () => {
        const whole = await (images ? images.#reload() : reload());
        return places.map(({ start, count }) => partOf(whole, start, count));
      });
    });
    images = new ShardedImages(setup, first, featureSize, shards, own, reload);
    try {
      await Promise.all(own.map((holder) => holder.start()));
    } catch (error) {
      await images.release();
      throw error;
    }
    return images;
  }

  async features(step: number, levels: number): Promise<Float32Array> {
    this.#requireWhole();
    const replies = await this.#all((holder) => holder.request({ kind: "features", step, levels }));
    this.#requireWhole();
    const length = this.count * this.featureSize;
    const features = new Float32Array(this.#views * length);
    for (const { start, count, holder, place } of this.#shards) {
      const own = replies[holder][place]!;
      const n = count * this.featureSize;
      for (let view = 0; view < this.#views; view++) {
        const rows = own.subarray(view * n, (view + 1) * n);
        features.set(rows, view * length + start * this.featureSize);
      }
    }
    return features;
  }

  update(cotangents: Float32Array, learningRate: number): void {
    const length = this.count * this.featureSize;
    const updates = this.#holders.map((holder, k) => {
      const own = this.#shards
        .filter((shard) => shard.holder === k)
        .map(({ start, count }) => {
          const n = count * this.featureSize;
          const part = new Float32Array(this.#views * n);
          for (let view = 0; view < this.#views; view++) {
            const at = view * length + start * this.featureSize;
            part.set(cotangents.subarray(at, at + n), view * n);
          }
          return part;
        });
      return holder.request({ kind: "update", learningRate, cotangents: own }).catch((error: unknown) => {
        this.#failure ??= { error };
      });
    });
    this.#latest = Promise.all(updates);
    this.#forget();
  }

  async settled(): Promise<void> {
    await this.#latest;
    this.#requireWhole();
  }

  async plainFeatures(): Promise<Float32Array> {
    const replies = await this.#all((holder) => holder.request({ kind: "plain" }));
    this.#requireWhole();
    const features = new Float32Array(this.count * this.featureSize);
    for (const { start, holder, place } of this.#shards)
      features.set(replies[holder][place]!, start * this.featureSize);
    return features;
  }

  async editedFeatures(edit: Edit): Promise<Float32Array> {
    const features = new Float32Array(this.count * this.featureSize);
    await Promise.all(
      this.#holders.map(async (owner, k) => {
        for (const { start, holder, place } of this.#shards) {
          if (holder !== k) continue;
          const images = await owner.request({ kind: "images", place });
          const edited = await edit.apply(images, this.#size, start);
          const rows = await owner.request({ kind: "encode", place, images: edited });
          features.set(rows, start * this.featureSize);
        }
      }),
    );
    this.#requireWhole();
    return features;
  }

  async keepOnlyParameters(): Promise<void> {
    await this.#all((holder) => holder.request({ kind: "finish" }));
  }

  async *rendered(): AsyncGenerator<RenderedImages> {
    for (const { start, count, holder, place } of this.#shards) {
      const images = await this.#holders[holder].request({ kind: "images", place });
      this.#requireWhole();
      yield { start, count, images };
    }
  }

  async parameters(): Promise<SyntheticParameters> {
    const replies = await this.#all((holder) => holder.request({ kind: "parameters" }));
    this.#requireWhole();
    return joined(this.#shards.map(({ holder, place }) => replies[holder][place]!));
  }

  async saved(save: (parameters: SyntheticParameters) => Promise<Reload>): Promise<void> {
    const forget = this.#holders.map((holder) => holder.mark());
    this.#reload = await save(await this.parameters());
    for (const drop of forget) drop();
  }

  async release(): Promise<void> {
    await Promise.all(this.#holders.map((holder) => holder.end()));
  }

  /** Keeps the state itself where the requests since the last one have grown larger. */
  #forget(): void {
    const kept = this.#holders.reduce((sum, holder) => sum + holder.keptBytes, 0);
    if (kept < mostKept || this.#forgetting !== undefined) return;
    this.#forgetting = this.saved(async (parameters) => async () => parameters)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#forgetting = undefined;
      });
  }

  /** In turn with what was asked for before; all replies, or the first error once all are done. */
  async #all<T>(ask: (holder: ReplacedHolder) => Promise<T>): Promise<T[]> {
    const replies = await Promise.allSettled(this.#holders.map(ask));
    return replies.map((reply) => {
      if (reply.status === "rejected") throw this.#failure?.error ?? reply.reason;
      return reply.value;
    });
  }

  #requireWhole(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/** Shards of `size` images, the last one of what is left, in order and as evenly as can be; holders at the end get more. */
export function shareOut(count: number, size: number, holders: number): Place[] {
  const shards = Math.ceil(count / size);
  const used = Math.min(holders, shards);
  const places: Place[] = [];
  for (let holder = 0; holder < used; holder++) {
    const [from, to] = [Math.floor((holder * shards) / used), Math.floor(((holder + 1) * shards) / used)];
    for (let shard = from; shard < to; shard++) {
      const start = shard * size;
      places.push({ start, count: Math.min(size, count - start), holder, place: shard - from });
    }
  }
  return places;
}
