import { Tensor } from "onnxruntime-common";
import { prepareGraph } from "../graph/prepare.ts";
import { compileDerivative, type Differentiable, planDerivative } from "../runtime/differentiable.ts";
import type { Feeds, Runtime } from "../runtime/runtime.ts";
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
 * A renderer of `batch` images at a time. Its small graphs are compiled once for each number of levels. All that its
 * pullback needs of the forward are the images: the rest is linear, and the sigmoid's slope is known from its value.
 */
export function createRenderer(runtime: Runtime, batch: number): Renderer {
  const compiled = new Map<string, Promise<Differentiable>>();
  const functionOf = ({ size, levels }: SyntheticParameters): Promise<Differentiable> => {
    const sides = levels.map((level) => level.side);
    const key = `${size} ${sides.length}`;
    let ready = compiled.get(key);
    if (ready === undefined) {
      const graph = pyramidGraph(batch, size, sides);
      const inputs = Object.fromEntries(sides.map((side) => [levelInput(side), [batch, 3, side, side]]));
      ready = prepareGraph(runtime, graph, inputs)
        .then((traced) => planDerivative(traced, Object.keys(inputs), renderedImages))
        .then((plan) => compileDerivative(runtime, plan, "save"));
      compiled.set(key, ready);
    }
    return ready;
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
        return feedsOf(parameters, start)[levelInput(parameters.size)]!.data.slice() as Float32Array;
      }
      return (await (await functionOf(parameters)).forward(feedsOf(parameters, start))).value;
    },
    async update(parameters, start, images, cotangent, learningRate) {
      const count = Math.min(batch, parameters.count - start);
      const gradients =
        parameters.parametrization === "pixels"
          ? { [levelInput(parameters.size)]: cotangent }
          : await (await functionOf(parameters)).pullback(
              feedsOf(parameters, start),
              {
                [renderedImages]: new Tensor("float32", images, [batch, 3, parameters.size, parameters.size]),
              },
              cotangent,
            );
      for (const level of parameters.levels) {
        const stride = 3 * level.side * level.side;
        const gradient = gradients[levelInput(level.side)]!.subarray(0, count * stride);
        adamStep(level, gradient, start * stride, parameters.adamSteps + 1, learningRate);
        if (parameters.parametrization === "pixels") clampUnit(level.values, start * stride, count * stride);
      }
    },
    async release() {
      for (const ready of compiled.values()) await (await ready).release();
    },
  };
}

function clampUnit(values: Float32Array, start: number, length: number): void {
  for (let i = start; i < start + length; i++) values[i] = Math.min(1, Math.max(0, values[i]!));
}
