import { Tensor } from "onnxruntime-common";
import { compileDerivative, type Differentiable } from "../onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../onnx-vjp/compile/plan.ts";
import type { Feeds, Runtime } from "../onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../onnx-vjp/prepare/prepare.ts";
import { adamStep } from "./adam.ts";
import type { SyntheticParameters } from "./parameters.ts";
import { levelInput, pyramidGraph, renderedImages } from "./render.ts";
import { turns } from "./turns.ts";

/** Renders chunks of synthetic images and takes cotangents of the images back to the parameters. */
export interface Renderer {
  /**
   * Images [batch, 3, size, size] in [0, 1] of the chunk starting at image `start`; past the last: zeros' images. In
   * `into` if given.
   */
  render(parameters: SyntheticParameters, start: number, into?: Float32Array): Promise<Float32Array>;
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
  let latest: Compiled | undefined;
  /** Nothing is let go while it is in use. */
  const inTurn = turns();
  const release = async () => {
    const before = latest;
    latest = undefined;
    await before?.compiled.release();
  };
  const functionOf = async ({ size, levels }: SyntheticParameters): Promise<Compiled> => {
    const key = `${size} ${levels.length}`;
    if (latest?.key !== key) {
      await release();
      const sides = levels.map((level) => level.side);
      const gradients = Object.fromEntries(
        sides.map((side) => [levelInput(side), new Float32Array(batch * 3 * side * side)]),
      );
      latest = { key, compiled: await compilePyramid(runtime, batch, size, sides), gradients };
    }
    return latest;
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
    async render(parameters, start, into) {
      const { size } = parameters;
      if (parameters.parametrization === "pixels") {
        const pixels = feedsOf(parameters, start)[levelInput(size)].data as Float32Array;
        if (into === undefined) return pixels.slice();
        into.set(pixels);
        return into;
      }
      return inTurn(async () => {
        const { forward } = (await functionOf(parameters)).compiled;
        const given = into && { [renderedImages]: new Tensor("float32", into, [batch, 3, size, size]) };
        return (await forward(feedsOf(parameters, start), given)).value;
      });
    },
    async update(parameters, start, images, cotangent, learningRate) {
      const count = Math.min(batch, parameters.count - start);
      const step = (gradients: Readonly<Record<string, Float32Array>>, decay: number) => {
        for (const level of parameters.levels) {
          const stride = 3 * level.side * level.side;
          const gradient = gradients[levelInput(level.side)].subarray(0, count * stride);
          adamStep(level, gradient, start * stride, parameters.adamSteps + 1, learningRate, decay);
          if (parameters.parametrization === "pixels")
            clampUnit(level.values, start * stride, count * stride);
        }
      };
      // Pixels would fade to black; a level of zero is gray.
      if (parameters.parametrization === "pixels") step({ [levelInput(parameters.size)]: cotangent }, 0);
      else
        await inTurn(async () => {
          const { compiled, gradients } = await functionOf(parameters);
          const dims = [batch, 3, parameters.size, parameters.size];
          const rendered = { [renderedImages]: new Tensor("float32", images, dims) };
          step(
            await compiled.pullback(feedsOf(parameters, start), rendered, cotangent, gradients),
            weightDecay,
          );
        });
    },
    release: () => inTurn(release),
  };
}

/** The rendering at some number of levels, and where the levels' gradients are written. */
interface Compiled {
  readonly key: string;
  readonly compiled: Differentiable;
  readonly gradients: Readonly<Record<string, Float32Array>>;
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
