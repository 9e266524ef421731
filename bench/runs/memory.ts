/**
 * Peak memory and time per step of one distillation of `--m` images of 64 px (EfficientNet-Lite0, one class an
 * image, at most 100 classes) against random real features. A separate process, so that peaks do not mix.
 *
 *   node memory.js --m 100 [--steps 2] [--size 64]
 *
 * Prints one line: {m, peakMemoryBytes, parameterBytes, activationBytes, secondsPerStep}.
 */

import { parseArgs } from "node:util";
import { createStep } from "../../src/distill/create-step.ts";
import { distillStep, initialState } from "../../src/distill/loop.ts";
import { openImages } from "../../src/distill/open-images.ts";
import { openEncoder } from "../../src/encoder/open-encoder.ts";
import { peakMemoryBytes } from "../../src/memory.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";

const { values: options } = parseArgs({
  options: {
    m: { type: "string", default: "100" },
    steps: { type: "string", default: "2" },
    size: { type: "string", default: "64" },
  },
});
const m = Number(options.m);
const size = Number(options.size);
const classes = Math.min(m, 100);
const { runtime, encoder } = await openEncoder({ encoder: "efficientnet-lite0", size, threads: 2 });
const random = seededRandom(0, "memory bench");
const count = 1000;
const real = randomFeatures(random, count, encoder.featureSize, classes);
const config = DistillConfig.parse({
  ipc: m / classes,
  steps: Number(options.steps) + 1,
  parametrization: "pixels",
  normalize: ["l2"],
});
const parameters = noiseParameters("pixels", m, size, 0);
const { images, plan } = await openImages(runtime, [encoder], config, 2 ** 40, {
  parameters,
  reload: async () => parameters,
  cut: { activations: "recompute" },
});
const { parts } = await createStep({
  runtime: nodeRuntime({ threads: 1 }),
  config,
  classes,
  real: [real],
  images,
});
const state = initialState(config, classes, count, parameters);
await distillStep(parts, state); // Warms up: sessions are made at their first use.
await images.settled();
const start = performance.now();
for (let step = 0; step < Number(options.steps); step++) await distillStep(parts, state);
await images.settled();
const secondsPerStep = (performance.now() - start) / 1000 / Number(options.steps);
console.log(
  JSON.stringify({
    m,
    peakMemoryBytes: await peakMemoryBytes(),
    /** Pixels and Adam's two moments. */
    parameterBytes: parameters.levels.reduce((sum, level) => sum + 3 * level.values.byteLength, 0),
    activationBytes: plan.activationBytes,
    batch: plan.batch,
    secondsPerStep,
  }),
);
await images.release();
