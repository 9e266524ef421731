import { Tensor } from "onnxruntime-common";
import { compileDerivative, type Differentiable } from "../onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../onnx-vjp/compile/plan.ts";
import type { Feeds, Runtime } from "../onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { adamStep } from "./adam.ts";
import type { SyntheticParameters } from "./parameters.ts";
import { levelInput, pyramidGraph, renderedImages } from "./render.ts";

/** Renders chunks of synthetic images and takes cotangents of the images back to the parameters. */
export interface Renderer {
  /** Images [batch, 3, size, size] in [0, 1] of the chunk starting at image `start`; past the last: zeros' images. */
  render(parameters: SyntheticParameters, start: number): Promise<Float32Array>;
  /** One Adam step on the chunk's parameters along the cotangent of its `images`, which they still render to. */
  update(
    parameters: SyntheticParameters,
    start: number,
    images: Float32Array,
    cotangent: Float32Array,
    learningRate: number,
  ): Promise<void>;
  release(): Promise<void>;
}

/**
 * A renderer of `batch` images at a time. Its small graphs are compiled anew for each number of levels, and those of
 * the one before are let go: ONNX Runtime keeps what a session's runs took for as long as the session lives. All that
 * the pullback needs of the forward are the images: the rest is linear, and the sigmoid's slope is known from its value.
 * @param weightDecay share of a parameter that each step takes away, times its learning rate (AdamW)
 */
export function createRenderer(runtime: Runtime, batch: number, weightDecay = 0): Renderer {
  let latest: { readonly key: string; readonly compiled: Differentiable } | undefined;
  let last: Promise<unknown> = Promise.resolve();
  /** Does `work` when all that came before is done, so that nothing is let go while it is in use. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
  const release = async () => {
    const before = latest;
    latest = undefined;
    await before?.compiled.release();
  };
  const functionOf = async ({ size, levels }: SyntheticParameters): Promise<Differentiable> => {
    const key = `${size} ${levels.length}`;
    if (latest?.key !== key) {
      await release();
      const sides = levels.map((level) => level.side);
      latest = { key, compiled: await compilePyramid(runtime, batch, size, sides) };
    }
    return latest.compiled;
  };
  const feedsOf = (parameters: SyntheticParameters, start: number): Feeds =>
    Object.fromEntries(
      parameters.levels.map(({ side, values }) => {
        const stride = 3 * side * side;
        const whole = start + batch <= parameters.count;
        const part = values.subarray(start * stride, (start + batch) * stride);
        const data = whole ? part : new Float32Array(batch * stride);
        if (!whole) data.set(part);
        return [levelInput(side), new Tensor("float32", data, [batch, 3, side, side])];
      }),
    );
  return {
    async render(parameters, start) {
      if (parameters.parametrization === "pixels") {
        return feedsOf(parameters, start)[levelInput(parameters.size)].data.slice() as Float32Array;
      }
      return inTurn(async () => {
        const { forward } = await functionOf(parameters);
        return (await forward(feedsOf(parameters, start))).value;
      });
    },
    async update(parameters, start, images, cotangent, learningRate) {
      const count = Math.min(batch, parameters.count - start);
      const gradients =
        parameters.parametrization === "pixels"
          ? { [levelInput(parameters.size)]: cotangent }
          : await inTurn(async () => {
              const { pullback } = await functionOf(parameters);
              const dims = [batch, 3, parameters.size, parameters.size];
              const rendered = { [renderedImages]: new Tensor("float32", images, dims) };
              return pullback(feedsOf(parameters, start), rendered, cotangent);
            });
      // Pixels would fade to black; a level of zero is gray.
      const decay = parameters.parametrization === "pyramid" ? weightDecay : 0;
      for (const level of parameters.levels) {
        const stride = 3 * level.side * level.side;
        const gradient = gradients[levelInput(level.side)].subarray(0, count * stride);
        adamStep(level, gradient, start * stride, parameters.adamSteps + 1, learningRate, decay);
        if (parameters.parametrization === "pixels") clampUnit(level.values, start * stride, count * stride);
      }
    },
    release: () => inTurn(release),
  };
}

/** The rendering of a pyramid with levels of the given sides, with its pullback. */
async function compilePyramid(
  runtime: Runtime,
  batch: number,
  size: number,
  sides: readonly number[],
): Promise<Differentiable> {
  const inputs = Object.fromEntries(sides.map((side) => [levelInput(side), [batch, 3, side, side]]));
  const traced = await prepareGraph(runtime, pyramidGraph(batch, size, sides), inputs);
  return compileDerivative(runtime, planDerivative(traced, Object.keys(inputs), renderedImages), "save");
}

function clampUnit(values: Float32Array, start: number, length: number): void {
  for (let i = start; i < start + length; i++) values[i] = Math.min(1, Math.max(0, values[i]));
}
