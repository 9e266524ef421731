import { describe, expect, it } from "vitest";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { colorMatrix } from "../../src/synthetic/color.ts";
import { resizeMatrix } from "../../src/synthetic/interpolation.ts";
import {
  addLevel,
  levelCount,
  noiseParameters,
  type SyntheticParameters,
} from "../../src/synthetic/parameters.ts";
import { createRenderer } from "../../src/synthetic/renderer.ts";
import { relativeError } from "../support/check-rule.ts";

const runtime = nodeRuntime({ threads: 1 });

/** A runtime that counts the sessions that are alive. */
function countingRuntime(): Runtime & { alive: number } {
  const counting = {
    ...runtime,
    alive: 0,
    async session(...given: Parameters<Runtime["session"]>) {
      const session = await runtime.session(...given);
      counting.alive++;
      return {
        ...session,
        async release() {
          counting.alive--;
          await session.release();
        },
      };
    },
  };
  return counting;
}

const pyramid = (size: number, levels: number, count = 2): SyntheticParameters => {
  const parameters = noiseParameters("pyramid", count, size, 1);
  while (parameters.levels.length < levels) addLevel(parameters, 1);
  return parameters;
};

describe("a renderer", () => {
  it("keeps the sessions of the latest levels alone, and none once it is released", async () => {
    const counting = countingRuntime();
    const renderer = createRenderer(counting, 2);
    const parameters = noiseParameters("pyramid", 2, 8, 1);
    for (;;) {
      const images = await renderer.render(parameters, 0);
      await renderer.update(parameters, 0, images, images, 0.01);
      // The forward's and the pullback's.
      expect(counting.alive).toBe(2);
      if (parameters.levels.length === levelCount("pyramid", 8)) break;
      addLevel(parameters, 1);
    }
    await renderer.release();
    expect(counting.alive).toBe(0);
  });

  it("renders images of another size in between, also at once", async () => {
    const renderer = createRenderer(runtime, 2);
    const sets = [pyramid(8, 3), pyramid(6, 2), pyramid(8, 4), pyramid(8, 3)];
    const rendered = await Promise.all(sets.map((parameters) => renderer.render(parameters, 0)));
    for (const [i, parameters] of sets.entries()) {
      const own = createRenderer(runtime, 2);
      expect(rendered[i]).toEqual(await own.render(parameters, 0));
      await own.release();
    }
    await renderer.release();
  });

  it("sums the levels, each resized, before colors are mixed", async () => {
    const [size, count] = [4, 3];
    const parameters = pyramid(size, 3, count);
    const renderer = createRenderer(runtime, 2);
    // The second chunk is not full.
    const images = await renderer.render(parameters, 2);
    await renderer.release();
    const summed = new Float64Array(3 * size * size);
    for (const { side, values } of parameters.levels) {
      const resize = resizeMatrix(size, side);
      for (let c = 0; c < 3; c++)
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++)
            for (let r = 0; r < side; r++)
              for (let k = 0; k < side; k++)
                summed[(c * size + i) * size + j] +=
                  resize[i * side + r] * resize[j * side + k] * values[((2 * 3 + c) * side + r) * side + k];
    }
    const expected = summed.map((_, at) => {
      const [c, pixel] = [Math.floor(at / size ** 2), at % size ** 2];
      const mixed = [0, 1, 2].reduce(
        (sum, from) => sum + colorMatrix[3 * c + from] * summed[from * size ** 2 + pixel],
        0,
      );
      return 1 / (1 + Math.exp(-2 * mixed));
    });
    expect(relativeError(images.subarray(0, expected.length), expected)).toBeLessThan(1e-6);
  });

  it("takes weight decay from levels, and none from pixels", async () => {
    const renderer = createRenderer(runtime, 2, 0.5);
    for (const [parameters, kept] of [
      [pyramid(4, 3), 1 - 0.1 * 0.5],
      [noiseParameters("pixels", 2, 4, 0), 1],
    ] as const) {
      const before = parameters.levels.map(({ values }) => values.slice());
      const images = await renderer.render(parameters, 0);
      // Without a gradient Adam moves nothing.
      await renderer.update(parameters, 0, images, new Float32Array(images.length), 0.1);
      for (const [l, { values }] of parameters.levels.entries())
        for (const [i, value] of values.entries()) expect(value).toBeCloseTo(kept * before[l][i]!, 6);
    }
    await renderer.release();
  });
});
