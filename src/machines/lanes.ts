import type { ShardWorkers } from "../distill/images-in-process.ts";
import type { ShardHolder } from "../distill/shard-messages.ts";
import { ProcessError } from "../errors.ts";
import { HelperLost } from "../helpers/helper-lost.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";

/** How often in a row processes may be lost before one has computed anything. */
const mostLosses = 3;

/** A process that computes shards, and at which of its places each of them is. */
interface Lane {
  readonly make: () => ShardHolder;
  holder: ShardHolder;
  /** Shards by place. */
  readonly shards: (number | undefined)[];
}

/** The processes of one worker and the shards that it has, as evenly as can be. */
export class Lanes {
  readonly #workers: ShardWorkers;
  readonly #lanes: Lane[];
  #losses = 0;

  private constructor(workers: ShardWorkers, lanes: Lane[]) {
    this.#workers = workers;
    this.#lanes = lanes;
  }

  /** @param most processes at most: there is no use for more than shards */
  static async open(workers: ShardWorkers, most: number): Promise<Lanes> {
    const lanes = workers.holders.slice(0, most).map((make) => ({ make, holder: make(), shards: [] }));
    const opened = new Lanes(workers, lanes);
    try {
      await Promise.all(lanes.map((lane) => opened.#start(lane)));
    } catch (error) {
      await opened.end();
      throw error;
    }
    return opened;
  }

  get shards(): number[] {
    return this.#lanes
      .flatMap((lane) => lane.shards.filter((shard) => shard !== undefined))
      .sort((a, b) => a - b);
  }

  /** Takes a shard in. */
  async hold(shard: number, parameters: SyntheticParameters): Promise<void> {
    const count = ({ shards }: Lane) => shards.filter((one) => one !== undefined).length;
    const lane = this.#lanes.reduce((least, other) => (count(other) < count(least) ? other : least));
    const free = lane.shards.indexOf(undefined);
    const place = free === -1 ? lane.shards.length : free;
    lane.shards[place] = shard;
    await this.#guarded(lane, () => lane.holder.request({ kind: "hold", place, shard: parameters }));
  }

  async drop(shard: number): Promise<void> {
    const { lane, place } = this.#find(shard);
    lane.shards[place] = undefined;
    await this.#guarded(lane, () => lane.holder.request({ kind: "hold", place, shard: null }));
  }

  /** Features of one shard. */
  async features(shard: number, step: number, levels: number): Promise<Float32Array> {
    const { lane, place } = this.#find(shard);
    const reply = await this.#guarded(lane, () =>
      lane.holder.request({ kind: "features", step, levels, places: [place] }),
    );
    this.#losses = 0;
    return reply[0];
  }

  async update(shard: number, cotangents: Float32Array, learningRate: number): Promise<void> {
    const { lane, place } = this.#find(shard);
    await this.#guarded(lane, () =>
      lane.holder.request({ kind: "update", learningRate, cotangents: [cotangents], places: [place] }),
    );
  }

  async parameters(shard: number): Promise<SyntheticParameters> {
    const { lane, place } = this.#find(shard);
    const [parameters] = await this.#guarded(lane, () =>
      lane.holder.request({ kind: "parameters", places: [place] }),
    );
    return parameters;
  }

  /** Which of the shards are computed one after the other: a list for each process. */
  byProcess(shards: readonly number[]): number[][] {
    return this.#lanes.map((lane) => shards.filter((shard) => lane.shards.includes(shard)));
  }

  async end(): Promise<void> {
    await Promise.all(this.#lanes.map(({ holder }) => holder.end()));
    await this.#workers.release();
  }

  #find(shard: number): { lane: Lane; place: number } {
    for (const lane of this.#lanes) {
      const place = lane.shards.indexOf(shard);
      if (place !== -1) return { lane, place };
    }
    throw new HelperLost(`Shard ${shard} was lost with the process that had it.`);
  }

  async #start(lane: Lane): Promise<void> {
    await lane.holder.request({ kind: "start", setup: this.#workers.setup, shards: [] });
  }

  /** Replaces a process that is lost by one that has no shards yet; whoever called takes them in again. */
  async #guarded<T>(lane: Lane, work: () => Promise<T>): Promise<T> {
    const { holder } = lane;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HelperLost)) throw error;
      if (lane.holder === holder) {
        if (++this.#losses >= mostLosses) {
          throw new ProcessError(
            `${error.message} It was started ${mostLosses} times. Give fewer \`threads\` or a smaller \`memoryBytes\`, and ` +
              "see that nothing else ends the program's processes.",
            { cause: error },
          );
        }
        lane.shards.length = 0;
        lane.holder = lane.make();
        // Whoever asks the new one for anything is behind this in its queue.
        const started = this.#start(lane);
        await holder.end();
        await started;
      }
      throw error;
    }
  }
}
