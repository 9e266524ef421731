import { Tensor } from "onnxruntime-common";
import { compileDerivative, planDerivative } from "../onnx-vjp/compile/differentiable.ts";
import type { Feeds, Runtime } from "../onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { seededRandom } from "../random.ts";
import {
  type AugmentationDraw,
  type AugmentationRecipe,
  augmentationGraph,
  type Crop,
  cropMatrices,
  drawAugmentation,
} from "./augment.ts";

/** What lies between rendering and encoder: augmented draws. */
export interface Augmenter {
  /** The chunk's images as the encoder sees them in this draw of this step. */
  apply(images: Float32Array, step: number, draw: number, chunk: number): Promise<Float32Array>;
  /** Takes the cotangent of `apply`'s result back to the images, which it does not depend on. */
  pullback(cotangent: Float32Array, step: number, draw: number, chunk: number): Promise<Float32Array>;
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
  const tensors = (values: Readonly<Record<string, Float32Array>>): Feeds =>
    Object.fromEntries(
      Object.entries(values).map(([name, data]) => [name, new Tensor("float32", data, dims[name]!)]),
    );
  // A draw's stream is its own, so it comes out the same again.
  const drawn = (stream: string): AugmentationDraw =>
    drawAugmentation(seededRandom(seed, stream), recipe, batch, size, out);
  /** Crops of the draws whose pullback is to come: to draw them again would draw all the noise between them. */
  const kept = new Map<string, readonly Crop[]>();
  return {
    async apply(images, step, draw, chunk) {
      const stream = streamOf(step, draw, chunk);
      const { crops, noise } = drawn(stream);
      if (recipe.noiseProbability > 0) kept.set(stream, crops);
      return (await compiled.forward(tensors({ images, ...cropMatrices(crops, size, out), noise }))).value;
    },
    async pullback(cotangent, step, draw, chunk) {
      const stream = streamOf(step, draw, chunk);
      const crops = kept.get(stream) ?? drawn(stream).crops;
      kept.delete(stream);
      return (await compiled.pullback(tensors(cropMatrices(crops, size, out)), {}, cotangent)).images!;
    },
    release: () => compiled.release(),
  };
}

const streamOf = (step: number, draw: number, chunk: number): string =>
  `augmentation ${step} ${draw} ${chunk}`;
