import type { ChunkedEncoder } from "../encoder/chunks.ts";
import type { DistillConfig } from "../recipe/config.ts";
import type { Augmenter } from "../synthetic/augmenter.ts";
import { addLevel, type SyntheticParameters } from "../synthetic/parameters.ts";
import type { Renderer } from "../synthetic/renderer.ts";
import { balancedSum } from "./balance.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import { drawOf, viewCount } from "./views.ts";

/** What the shards of one process are computed with: all of them have the encoders' batch, and share them. */
export interface ShardParts {
  readonly config: DistillConfig;
  /** All of one batch; an image's features are one row, those of the first encoder first. */
  readonly encoders: readonly ChunkedEncoder[];
  readonly renderer: Renderer;
  /** Between rendering and encoder, when the configuration augments. */
  readonly augmenter: Augmenter | undefined;
  /** Where the gradients of one shard's images are added up. */
  scratch?: Scratch | undefined;
}

interface Scratch {
  /** A total for each encoder. */
  readonly totals: readonly Float32Array[];
  /** Where a call's gradient goes. */
  readonly into: Float32Array;
}

const scratchOf = (length: number, encoders: number): Scratch => ({
  totals: Array.from({ length: encoders }, () => new Float32Array(length)),
  into: new Float32Array(length),
});

/**
 * A fixed group of consecutive synthetic images with all that is only theirs: parameters, Adam's moments, rendering,
 * augmentation, features and pullback. What it computes depends on the images alone, not on who else computes what.
 */
export class Shard {
  readonly parameters: SyntheticParameters;
  readonly #parts: ShardParts;
  /** The first of each encoder's slots that are this shard's, one for each view. */
  readonly #slot: number;
  /** d of each encoder, and of all together. */
  readonly #sizes: readonly number[];
  readonly #featureSize: number;
  /** The step of the latest features. */
  #step = 0;
  /**
   * What the latest features are of, where the encoders' far larger intermediates are kept too. The arrays are used again
   * in every step: making them anew costs a tenth of it.
   */
  #rendered: Float32Array | undefined;
  #seen: Float32Array[] = [];
  /** Whether they are those of the latest features. */
  #current = false;

  /** @param place of the shard among those of its process */
  constructor(parts: ShardParts, place: number, parameters: SyntheticParameters) {
    this.#parts = parts;
    this.#slot = place * viewCount(parts.config);
    this.#sizes = parts.encoders.map(({ featureSize }) => featureSize);
    this.#featureSize = this.#sizes.reduce((sum, d) => sum + d, 0);
    this.parameters = parameters;
  }

  /** Features of every view, views · n × d, after the levels that are missing were added. */
  async features(step: number, levels: number): Promise<Float32Array> {
    const { config, encoders } = this.#parts;
    while (this.parameters.levels.length < levels) addLevel(this.parameters, config.seed);
    const keep = encoders[0].plan.activations === "save";
    const views = viewCount(config);
    const length = this.parameters.count * this.#featureSize;
    const features = new Float32Array(views * length);
    this.#step = step;
    this.#current = false;
    const images = await this.#images();
    if (keep) this.#rendered = images;
    for (let view = 0; view < views; view++) {
      const input = await this.#inputOf(images, view);
      if (keep) this.#seen[view] = input;
      features.set(await this.#featuresOf(this.#slot + view, input), view * length);
    }
    this.#current = keep;
    return features;
  }

  /** One Adam step along the cotangents of the latest features. */
  async update(cotangents: Float32Array, learningRate: number): Promise<void> {
    const { encoders, renderer } = this.#parts;
    const { count, size } = this.parameters;
    const images = await this.#images();
    const gradients: Float32Array[] = [];
    const own = splitColumns(cotangents, this.#sizes);
    this.#parts.scratch ??= scratchOf(images.length, encoders.length);
    for (const k of encoders.keys())
      gradients.push(await this.#gradientOf(k, images, own[k], this.#parts.scratch));
    const total = balancedSum(gradients, count, 3 * size * size);
    await renderer.update(this.parameters, 0, images, total, learningRate);
    this.parameters.adamSteps++;
    this.#current = false;
  }

  /**
   * What the cotangents of one encoder's features say of the images, over all views.
   * @param k its place among the encoders
   * @param cotangents views · n × d of that encoder
   */
  async #gradientOf(
    k: number,
    images: Float32Array,
    cotangents: Float32Array,
    scratch: Scratch,
  ): Promise<Float32Array> {
    const { config, augmenter } = this.#parts;
    const encoder = this.#parts.encoders[k];
    const { count, first } = this.parameters;
    const d = encoder.featureSize;
    const total = scratch.totals[k];
    total.fill(0);
    const cotangent = new Float32Array(encoder.plan.batch * d);
    for (let view = 0; view < viewCount(config); view++) {
      cotangent.set(cotangents.subarray(view * count * d, (view + 1) * count * d));
      const input = await this.#inputOf(images, view);
      const own = await encoder.pullback(this.#slot + view, input, cotangent, scratch.into);
      const draw = drawOf(config, view);
      const back = draw === undefined ? own : await augmenter!.pullback(own, this.#step, draw, first);
      for (let i = 0; i < total.length; i++) total[i] += back[i];
    }
    return total;
  }

  /** Features, n × d, of images that fill the encoders' batch. */
  async #featuresOf(slot: number, input: Float32Array): Promise<Float32Array> {
    const { count } = this.parameters;
    const parts: Float32Array[] = [];
    for (const encoder of this.#parts.encoders)
      parts.push((await encoder.features(slot, input)).subarray(0, count * encoder.featureSize));
    return joinColumns(parts, this.#sizes);
  }

  /** The images as they are, [n, 3, size, size] in [0, 1]. */
  async images(): Promise<Float32Array> {
    const { count, size } = this.parameters;
    return (await this.#parts.renderer.render(this.parameters, 0)).slice(0, count * 3 * size * size);
  }

  /** Features of the images as they are, n × d; no update can follow before the next step's features. */
  async plainFeatures(): Promise<Float32Array> {
    return this.encode(await this.images());
  }

  /** Features, n × d, of the shard's images after an edit; no update can follow before the next step's features. */
  async encode(images: Float32Array): Promise<Float32Array> {
    const { size } = this.parameters;
    const whole = new Float32Array(this.#parts.encoders[0].plan.batch * 3 * size * size);
    whole.set(images);
    // The next call may overwrite what the encoder gave.
    return (await this.#featuresOf(this.#slot, whole)).slice();
  }

  async #images(): Promise<Float32Array> {
    if (this.#current) return this.#rendered!;
    return this.#parts.renderer.render(this.parameters, 0, this.#rendered);
  }

  async #inputOf(images: Float32Array, view: number): Promise<Float32Array> {
    const draw = drawOf(this.#parts.config, view);
    if (draw === undefined) return images;
    if (this.#current) return this.#seen[view];
    const { augmenter } = this.#parts;
    return augmenter!.apply(images, this.#step, draw, this.parameters.first, this.#seen[view]);
  }
}
