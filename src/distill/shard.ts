import type { ChunkedEncoder } from "../encoder/chunks.ts";
import type { DistillConfig } from "../recipe/config.ts";
import type { Augmenter } from "../synthetic/augmenter.ts";
import { addLevel, type SyntheticParameters } from "../synthetic/parameters.ts";
import type { Renderer } from "../synthetic/renderer.ts";
import { drawOf, viewCount } from "./views.ts";

/** What the shards of one process are computed with: all of them have the encoder's batch, and share it. */
export interface ShardParts {
  readonly config: DistillConfig;
  readonly encoder: ChunkedEncoder;
  readonly renderer: Renderer;
  /** Between rendering and encoder, when the configuration augments. */
  readonly augmenter: Augmenter | undefined;
  /** Where the gradients of one shard's images are added up. */
  scratch?: { readonly total: Float32Array; readonly into: Float32Array } | undefined;
}

const scratchOf = (length: number) => ({ total: new Float32Array(length), into: new Float32Array(length) });

/**
 * A fixed group of consecutive synthetic images with all that is only theirs: parameters, Adam's moments, rendering,
 * augmentation, features and pullback. What it computes depends on the images alone, not on who else computes what.
 */
export class Shard {
  readonly parameters: SyntheticParameters;
  readonly #parts: ShardParts;
  /** The first of the encoder's slots that are this shard's, one for each view. */
  readonly #slot: number;
  /** The step of the latest features. */
  #step = 0;
  /**
   * What the latest features are of, where the encoder's far larger intermediates are kept too. The arrays are used again
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
    this.parameters = parameters;
  }

  /** Features of every view, views · n × d, after the levels that are missing were added. */
  async features(step: number, levels: number): Promise<Float32Array> {
    const { config, encoder } = this.#parts;
    while (this.parameters.levels.length < levels) addLevel(this.parameters, config.seed);
    const keep = encoder.plan.activations === "save";
    const views = viewCount(config);
    const length = this.parameters.count * encoder.featureSize;
    const features = new Float32Array(views * length);
    this.#step = step;
    this.#current = false;
    const images = await this.#images();
    if (keep) this.#rendered = images;
    for (let view = 0; view < views; view++) {
      const input = await this.#inputOf(images, view);
      if (keep) this.#seen[view] = input;
      const rows = await encoder.features(this.#slot + view, input);
      features.set(rows.subarray(0, length), view * length);
    }
    this.#current = keep;
    return features;
  }

  /** One Adam step along the cotangents of the latest features. */
  async update(cotangents: Float32Array, learningRate: number): Promise<void> {
    const { config, encoder, renderer, augmenter } = this.#parts;
    const { count, first } = this.parameters;
    const d = encoder.featureSize;
    const images = await this.#images();
    this.#parts.scratch ??= scratchOf(images.length);
    const { total, into } = this.#parts.scratch;
    total.fill(0);
    const cotangent = new Float32Array(encoder.plan.batch * d);
    for (let view = 0; view < viewCount(config); view++) {
      cotangent.set(cotangents.subarray(view * count * d, (view + 1) * count * d));
      const input = await this.#inputOf(images, view);
      const own = await encoder.pullback(this.#slot + view, input, cotangent, into);
      const draw = drawOf(config, view);
      const back = draw === undefined ? own : await augmenter!.pullback(own, this.#step, draw, first);
      for (let i = 0; i < total.length; i++) total[i] += back[i];
    }
    await renderer.update(this.parameters, 0, images, total, learningRate);
    this.parameters.adamSteps++;
    this.#current = false;
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
    const { encoder } = this.#parts;
    const { count, size } = this.parameters;
    const whole = new Float32Array(encoder.plan.batch * 3 * size * size);
    whole.set(images);
    return (await encoder.features(this.#slot, whole)).slice(0, count * encoder.featureSize);
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
