import { Tensor } from "onnxruntime-common";
import { prepareGraph } from "../graph/prepare.ts";
import { seededRandom } from "../random.ts";
import { compileDerivative, planDerivative } from "../runtime/differentiable.ts";
import type { Feeds, Runtime } from "../runtime/runtime.ts";
import { type AugmentationRecipe, augmentationGraph, drawAugmentation } from "./augment.ts";

/** What lies between rendering and encoder: augmented draws. */
export interface Augmenter {
  /** The chunk's images as the encoder sees them in this draw of this step. */
  apply(images: Float32Array, step: number, draw: number, chunk: number): Promise<Float32Array>;
  /** Takes the cotangent of `apply`'s result back to the images. */
  pullback(
    images: Float32Array,
    cotangent: Float32Array,
    step: number,
    draw: number,
    chunk: number,
  ): Promise<Float32Array>;
  release(): Promise<void>;
}

/** @param size side of the rendered images; `out` is the encoder's input */
export async function createAugmenter(
  runtime: Runtime,
  recipe: AugmentationRecipe,
  seed: number,
  batch: number,
  size: number,
  out: number,
): Promise<Augmenter> {
  const graph = augmentationGraph(batch, size, out);
  const dims = Object.fromEntries(graph.inputs.map((input) => [input.name, input.dims as number[]]));
  const traced = await prepareGraph(runtime, graph, dims);
  const compiled = await compileDerivative(
    runtime,
    planDerivative(traced, ["images"], "augmented"),
    "recompute",
  );
  // A draw is made again for the pullback rather than kept: its stream is its own, so it comes out the same.
  const feedsOf = (images: Float32Array, step: number, draw: number, chunk: number): Feeds => {
    const random = seededRandom(seed, `augmentation ${step} ${draw} ${chunk}`);
    const drawn = drawAugmentation(random, recipe, batch, size, out);
    const values: Record<string, Float32Array> = { images, ...drawn };
    return Object.fromEntries(
      Object.entries(dims).map(([name, shape]) => [name, new Tensor("float32", values[name]!, shape)]),
    );
  };
  return {
    apply: async (images, step, draw, chunk) =>
      (await compiled.forward(feedsOf(images, step, draw, chunk))).value,
    pullback: async (images, cotangent, step, draw, chunk) =>
      (await compiled.pullback(feedsOf(images, step, draw, chunk), {}, cotangent)).images!,
    release: () => compiled.release(),
  };
}
