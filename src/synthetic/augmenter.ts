import { Tensor } from "onnxruntime-common";
import { compileDerivative } from "../onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../onnx-vjp/compile/plan.ts";
import type { Feeds, Runtime } from "../onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { seededRandom } from "../random.ts";
import {
  type AugmentationRecipe,
  augmentationGraph,
  cropMatrices,
  drawAugmentation,
  emptyCropMatrices,
  whole,
} from "./augment.ts";
import { turns } from "./turns.ts";

/**
 * What is between rendering and encoder: augmented draws. How an image is drawn depends on the seed, the step, the
 * draw and the image alone, and so on no cut into chunks.
 */
export interface Augmenter {
  /**
   * The images from image `start` on as the encoder sees them in this draw of this step, in `into` if given. An array of
   * an image's size takes time to make and to collect; so the others are kept between calls.
   */
  apply(
    images: Float32Array,
    step: number,
    draw: number,
    start: number,
    into?: Float32Array,
  ): Promise<Float32Array>;
  /**
   * Takes the cotangent of `apply`'s result back to the images, which it does not depend on. The result is only good
   * until the next call.
   */
  pullback(cotangent: Float32Array, step: number, draw: number, start: number): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Normal numbers that noise is read from: drawn anew for each image, they would cost as much time as an encoder. */
const tableSize = 2 ** 20;

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
      Object.entries(values).map(([name, data]) => [name, new Tensor("float32", data, dims[name])]),
    );
  const pixels = 3 * out * out;
  const table =
    recipe.noiseProbability > 0 ? normalNumbers(seed, Math.max(tableSize, 2 * pixels)) : undefined;
  const noise = new Float32Array(batch * pixels);
  const matrices = emptyCropMatrices(batch, size, out);
  const gradient = new Float32Array(batch * 3 * size * size);
  const noiseStarts = table === undefined ? 1 : table.length - pixels + 1;
  const inTurn = turns();
  /** Writes a draw's matrices and gives how its images are drawn. A draw's own stream gives the same for the pullback. */
  const drawn = (step: number, draw: number, start: number) => {
    // What is drawn once for all images, however they are cut into chunks.
    const mirrors = seededRandom(seed, `flip ${step} ${draw}`).uniform() < recipe.flipProbability;
    const lowPass = seededRandom(seed, `low-pass ${step} ${draw}`).uniform() < recipe.lowPassProbability;
    const images = Array.from({ length: batch }, (_, i) => {
      const random = seededRandom(seed, `augmentation ${step} ${draw} ${start + i}`);
      const { crop, noiseAt } = drawAugmentation(random, recipe, size, noiseStarts);
      const flip = recipe.flipsAlike ? mirrors : crop.flip;
      return lowPass
        ? { crop: { ...whole(size), flip }, noiseAt: undefined }
        : { crop: { ...crop, flip }, noiseAt };
    });
    cropMatrices(
      images.map(({ crop }) => crop),
      ...([size, out, lowPass, matrices] as const),
    );
    return images;
  };
  return {
    apply: (images, step, draw, start, into) =>
      inTurn(async () => {
        for (const [i, { noiseAt }] of drawn(step, draw, start).entries()) {
          const own = noise.subarray(i * pixels, (i + 1) * pixels);
          if (table === undefined || noiseAt === undefined) own.fill(0);
          else
            for (let k = 0; k < pixels; k++) own[k] = recipe.noiseMean + recipe.noiseStd * table[noiseAt + k];
        }
        const given = into && { augmented: new Tensor("float32", into, [batch, 3, out, out]) };
        return (await compiled.forward(tensors({ images, ...matrices, noise }), given)).value;
      }),
    pullback: (cotangent, step, draw, start) =>
      inTurn(async () => {
        drawn(step, draw, start);
        return (await compiled.pullback(tensors({ ...matrices }), {}, cotangent, { images: gradient }))
          .images!;
      }),
    release: () => compiled.release(),
  };
}

function normalNumbers(seed: number, count: number): Float32Array {
  const random = seededRandom(seed, "noise table");
  return Float32Array.from({ length: count }, () => random.normal());
}
