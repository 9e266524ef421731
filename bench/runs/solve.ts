/**
 * What every worker of a run computes of a step beside its images: the probe of all synthetic features and the
 * gradient of its loss, with one thread, one image per class.
 *
 *   node solve.js --m 1000 --d 768 [--steps 3]
 *
 * Prints one line: {m, d, milliseconds} (the median).
 */
import { parseArgs } from "node:util";
import { createStep } from "../../src/distill/create-step.ts";
import { evaluateObjective } from "../../src/distill/evaluate-objective.ts";
import { initialState } from "../../src/distill/loop.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";

const { values } = parseArgs({
  options: {
    m: { type: "string", default: "1000" },
    d: { type: "string", default: "768" },
    steps: { type: "string", default: "3" },
  },
});
const [m, d, steps] = [values.m, values.d, values.steps].map(Number);
const random = seededRandom(0, "solve");
const real = randomFeatures(random, Math.max(1024, 2 * m), d, m);
const config = DistillConfig.parse({ ipc: 1 });
const images = {
  ...{ count: m, featureSize: d, levelCount: 1 },
  features: async () => new Float32Array(0),
  update: () => {},
  release: async () => {},
};
const runtime = nodeRuntime({ threads: 1 });
const { parts, release } = await createStep({ runtime, config, classes: m, real: [real], images });
const state = initialState(config, m, real.count, { levels: [], adamSteps: 0 });
const features = Float32Array.from({ length: m * d }, () => random.normal());
const times: number[] = [];
for (let step = 0; step <= steps; step++) {
  const indices = state.sampler.next();
  const start = performance.now();
  await evaluateObjective(parts, 0, state, features, indices);
  times.push(performance.now() - start);
}
await release();
// The first makes the sessions.
const milliseconds = times.slice(1).sort((a, b) => a - b)[Math.floor(steps / 2)];
console.log(JSON.stringify({ m, d, milliseconds }));
