import * as z from "zod";
import { seededRandom } from "../random.ts";

/** Where a `BatchSampler` stands: plain JSON, all that is needed to resume. */
export const BatchSamplerState = z.strictObject({
  count: z.int().positive(),
  batchSize: z.int().positive(),
  seed: z.int(),
  /** Full passes done. */
  epoch: z.int().nonnegative(),
  /** Batches taken from the pass under way. */
  taken: z.int().nonnegative(),
});
export type BatchSamplerState = z.infer<typeof BatchSamplerState>;

/**
 * Batches of distinct indices in [0, count), without replacement within an epoch: each epoch goes through a new
 * random order, cut into ⌊count / batchSize⌋ batches of exactly `batchSize`; the rest of the order, fewer than a
 * batch, is left out of that epoch (another rest in each). Holds one order, 4 bytes per index.
 *
 * The order of an epoch depends on seed and epoch alone, so the state is two counters, and a sampler made from
 * it gives the batches that the original would have given.
 */
export class BatchSampler {
  readonly #count: number;
  readonly #batchSize: number;
  readonly #seed: number;
  #epoch = 0;
  #taken = 0;
  #order: Int32Array | undefined;

  /** Throws RangeError unless 1 ≤ batchSize ≤ count. */
  constructor(count: number, batchSize: number, seed: number) {
    if (!Number.isInteger(count) || !Number.isInteger(batchSize) || batchSize < 1 || batchSize > count) {
      throw new RangeError(`batches of ${batchSize} cannot be drawn from ${count} without replacement`);
    }
    this.#count = count;
    this.#batchSize = batchSize;
    this.#seed = seed;
  }

  /** A sampler that resumes where `state` was taken. */
  static from(state: BatchSamplerState): BatchSampler {
    const sampler = new BatchSampler(state.count, state.batchSize, state.seed);
    sampler.#epoch = state.epoch;
    sampler.#taken = state.taken;
    return sampler;
  }

  get state(): BatchSamplerState {
    return {
      count: this.#count,
      batchSize: this.#batchSize,
      seed: this.#seed,
      epoch: this.#epoch,
      taken: this.#taken,
    };
  }

  /** The next batch: `batchSize` distinct indices, in a fresh array. */
  next(): Int32Array {
    if ((this.#taken + 1) * this.#batchSize > this.#count) {
      this.#epoch++;
      this.#taken = 0;
      this.#order = undefined;
    }
    this.#order ??= shuffled(this.#count, this.#seed, this.#epoch);
    const start = this.#taken++ * this.#batchSize;
    return this.#order.slice(start, start + this.#batchSize);
  }
}

/** The indices 0 … count − 1 in the order of an epoch (Fisher–Yates). */
function shuffled(count: number, seed: number, epoch: number): Int32Array {
  const random = seededRandom(seed, `real batches, epoch ${epoch}`);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  return order;
}
