import { expect, test } from "vitest";
import { balancedSum } from "../../src/distill/balance.ts";
import { joinColumns, splitColumns } from "../../src/distill/columns.ts";
import { createStep } from "../../src/distill/create-step.ts";
import { evaluateObjective } from "../../src/distill/evaluate-objective.ts";
import { distillStep, initialState } from "../../src/distill/loop.ts";
import { openImages } from "../../src/distill/open-images.ts";
import { planEncoders } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { UsageError } from "../../src/errors.ts";
import { resampleFloat } from "../../src/images/resample-float.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const classes = 3;
const pixels = 3 * smallSide * smallSide;
const other = { seed: 9, side: 6, features: 4 };
const sizes = [smallFeatures, other.features];
const config = DistillConfig.parse({ parametrization: "pixels", steps: 4, batchSize: 20, targets: 0 });
const runtime = nodeRuntime({ threads: 1 });

/** Two encoders of 8 × 8 and 6 × 6 images, and a distillation that starts with both. */
async function start() {
  const encoders = [
    await createEncoder(runtime, smallEncoder(smallGraph())),
    await createEncoder(runtime, smallEncoder(smallGraph(other), undefined, other.side)),
  ];
  const real = sizes.map((d, k) => randomFeatures(seededRandom(k, "real"), 20, d, classes));
  const parameters = noiseParameters("pixels", classes, smallSide, 1);
  const { images } = await openImages(runtime, encoders, config, 2 ** 30, {
    parameters,
    reload: async () => parameters,
    cut: { batch: 2 },
  });
  const step = await createStep({ runtime, config, classes, real, images });
  const state = initialState(config, classes, 20, parameters);
  const release = async () => {
    await step.release();
    for (const encoder of encoders) await encoder.release();
  };
  return { encoders, images, parts: step.parts, state, release, first: parameters.levels[0].values.slice() };
}

test("a step follows the sum of the losses’ gradients, each image’s brought to one norm, as finite differences have them", async () => {
  const { encoders, images, parts, state, release, first } = await start();
  const all = Int32Array.from({ length: 20 }, (_, i) => i);
  const seen = [
    (at: Float32Array) => at,
    (at: Float32Array) => resampleFloat(at, smallSide, [other.side, other.side], "bicubic"),
  ];
  const lossOf = async (k: number, at: Float32Array) => {
    const features = await encoders[k].features(seen[k](at), classes);
    return (await evaluateObjective(parts, k, state, features, all)).loss;
  };
  const differences: Float64Array[] = [];
  const h = 2e-3;
  for (const k of [0, 1]) {
    const gradient = new Float64Array(first.length);
    for (let i = 0; i < first.length; i++) {
      const moved = (by: number) => first.map((x, j) => (j === i ? x + by : x));
      gradient[i] = ((await lossOf(k, moved(h))) - (await lossOf(k, moved(-h)))) / (2 * h);
    }
    differences.push(gradient);
  }
  const expected = new Float64Array(first.length);
  for (let image = 0; image < classes; image++) {
    const own = differences.map((gradient) => gradient.subarray(image * pixels, (image + 1) * pixels));
    const norms = own.map((gradient) => Math.hypot(...gradient));
    for (const [k, gradient] of own.entries())
      for (let i = 0; i < pixels; i++)
        expected[image * pixels + i] += ((norms[0] + norms[1]) / 2 / norms[k]) * gradient[i];
  }

  const { loss } = await distillStep(parts, state);
  // Adam's first moment after one step is a tenth of the gradient.
  const followed = (await images.parameters()).levels[0].first.map((x) => 10 * x);
  await release();
  expect(loss).toBeCloseTo((await lossOf(0, first)) + (await lossOf(1, first)), 4);
  for (let image = 0; image < classes; image++) {
    const [a, b] = [followed, expected].map((all) =>
      Array.from(all.subarray(image * pixels, (image + 1) * pixels)),
    );
    const error = Math.hypot(...a.map((x, i) => x - b[i])) / Math.hypot(...b);
    expect(error).toBeLessThan(0.02);
  }
}, 60_000);

test("both encoders’ features of the images are those of the images resized to each", async () => {
  const { encoders, images, release, first } = await start();
  const [own, small] = splitColumns(await images.plainFeatures(), sizes);
  const resized = resampleFloat(first, smallSide, [other.side, other.side], "bicubic");
  const expected = [await encoders[0].features(first, classes), await encoders[1].features(resized, classes)];
  await release();
  for (const [k, features] of [own, small].entries())
    for (const [i, value] of features.entries()) expect(value).toBeCloseTo(expected[k][i], 4);
});

test("an image’s gradients weigh the same whatever their scale, and one of zero takes no part", () => {
  const a = Float32Array.of(3, 4, 0, 0, 5, 12);
  const b = Float32Array.of(0, 2, 7, 1, 0, 0);
  // Norms 5 and 2; 0 and √50; 13 and 0.
  const expected = [(3.5 * 3) / 5, (3.5 * 4) / 5 + 3.5, 7, 1, 5, 12];
  for (const [i, x] of balancedSum([a, b], 3, 2).entries()) expect(x).toBeCloseTo(expected[i], 5);
  const scaled = balancedSum([a.map((x) => 1000 * x), b], 1, 2);
  // The direction is that of the unit vectors’ sum.
  expect(scaled[1] / scaled[0]).toBeCloseTo((4 / 5 + 1) / (3 / 5), 5);
  expect(balancedSum([a], 3, 2)).toBe(a);
});

test("rows of several encoders come apart and together again", () => {
  const rows = Float32Array.of(1, 2, 3, 4, 5, 6);
  expect(splitColumns(rows, [2, 1])).toEqual([Float32Array.of(1, 2, 4, 5), Float32Array.of(3, 6)]);
  expect(joinColumns(splitColumns(rows, [2, 1]), [2, 1])).toEqual(rows);
  expect(joinColumns([rows], [3])).toBe(rows);
});

test("intermediates are kept only where those of all encoders fit together", async () => {
  const { encoders, release } = await start();
  const plan = async (memoryBytes: number) =>
    (await planEncoders(runtime, encoders, 4, 1, memoryBytes, { batch: 2, side: smallSide })).plan;
  const { callBytes } = await plan(2 ** 30);
  // Two chunks of the four images.
  expect((await plan(2 * callBytes)).activations).toBe("save");
  expect((await plan(2 * callBytes - 1)).activations).toBe("recompute");
  await release();
});

test("encoders whose files fix different batches are refused", async () => {
  const fixed = async (batch: number) => createEncoder(runtime, smallEncoder(smallGraph({ batch })));
  const both = [await fixed(2), await fixed(3)];
  await expect(planEncoders(runtime, both, 4, 1, 2 ** 30, { side: smallSide })).rejects.toThrow(UsageError);
  for (const encoder of both) await encoder.release();
});
