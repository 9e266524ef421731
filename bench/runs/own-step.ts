/**
 * One distillation against random real features, in its own process so that its peak memory is its own.
 * Answers bench/lib/peer.ts: `run` does a step, or one that does not count and then as many as `seconds` take, and gives
 * the milliseconds of one; `memory`
 * what the process and its helpers have needed.
 *
 *   node own-step.js --m 100 --classes 10 [--encoder efficientnet-lite0] [--size 128] [--real 512] [--d 1280]
 *                    [--method clp] [--augment 0] [--parametrization pyramid] [--activations save|recompute]
 *                    [--device cpu|webgpu|cuda] [--precision float32|float16]
 */
import { totalmem } from "node:os";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createStep } from "../../src/distill/create-step.ts";
import { choiceSteps, distillStep, initialState, nextTargets } from "../../src/distill/loop.ts";
import { openImages } from "../../src/distill/open-images.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { selectFeature } from "../../src/encoder/select-feature.ts";
import { messageOf } from "../../src/errors.ts";
import { peakMemoryBytes } from "../../src/memory.ts";
import type { Activations } from "../../src/onnx-vjp/compile/differentiable.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import type { Device, Precision } from "../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig, Method } from "../../src/recipe/config.ts";
import { withPreset } from "../../src/recipe/presets.ts";
import { addLevel, levelCount, noiseParameters } from "../../src/synthetic/parameters.ts";

const { values: options } = parseArgs({
  options: {
    encoder: { type: "string", default: "efficientnet-lite0" },
    size: { type: "string", default: "128" },
    m: { type: "string", default: "10" },
    classes: { type: "string", default: "10" },
    real: { type: "string", default: "512" },
    d: { type: "string" },
    method: { type: "string", default: "clp" },
    augment: { type: "string", default: "0" },
    parametrization: { type: "string", default: "pyramid" },
    activations: { type: "string" },
    threads: { type: "string", default: "2" },
    device: { type: "string", default: "cpu" },
    precision: { type: "string", default: "float32" },
  },
});
const method = Method.parse(options.method);
const m = Number(options.m);
const size = Number(options.size);
const threads = Number(options.threads);
const classes = Math.min(m, Number(options.classes));
const augment = Number(options.augment);
const random = seededRandom(0, "own step");

const runtime = nodeRuntime({ threads, device: options.device as Device });
const model = await loadEncoderModel(options.encoder, { size });
const encoder = await createEncoder(runtime, options.d ? projected(model, Number(options.d)) : model, {
  precision: options.precision as Precision,
});
const count = Number(options.real);
const real = randomFeatures(random, count, encoder.featureSize, classes);
// Without draws as the recipe for exact pixels has it, so that a step is of one view.
const exact = { ...(method === "clp" ? {} : { targets: 0 }), method, normalize: ["l2" as const] };
const own = augment === 0 ? withPreset("exact", exact) : withPreset(undefined, { ...exact, augment });
const config = DistillConfig.parse({
  ...own,
  parametrization: options.parametrization,
  ipc: m / classes,
  batchSize: count,
  steps: 1000,
});
const start = noiseParameters(config.parametrization, m, size, 0);
while (start.levels.length < levelCount(config.parametrization, size)) addLevel(start, 0);
const { images, plan } = await openImages(runtime, [encoder], config, totalmem() / 4, {
  parameters: start,
  reload: async () => start,
  cut: options.activations ? { activations: options.activations as Activations } : {},
});
const { parts } = await createStep({
  runtime: nodeRuntime({ threads: 1 }),
  config,
  classes,
  real: [real],
  images,
});
const state = initialState(config, classes, count, start);

/** A step, with what choosing target features costs per step on average. */
async function oneStep(): Promise<void> {
  await distillStep(parts, state);
  const { targets } = parts.encoders[0];
  if (targets) await nextTargets(parts, 0, state, targets.start, choiceSteps / config.targets);
}

const calls: Readonly<Record<string, (args: { readonly seconds?: number }) => Promise<unknown>>> = {
  async run({ seconds = 0 }) {
    // After the other sides' turns, the caches and pages of this one have to come back; a run of its own never waits.
    if (seconds > 0) await oneStep();
    const start = performance.now();
    let steps = 0;
    do {
      await oneStep();
      steps++;
    } while (performance.now() - start < 1000 * seconds);
    await images.settled();
    return (performance.now() - start) / steps;
  },
  memory: async () => ({
    peakMemoryBytes: await peakMemoryBytes(),
    /** Parameters and Adam's two moments. */
    parameterBytes: start.levels.reduce((sum, level) => sum + 3 * level.values.byteLength, 0),
    activationBytes: plan.activationBytes,
    activations: plan.activations,
    batch: plan.batch,
  }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line) as { call: string; args: object };
  try {
    console.log(JSON.stringify({ result: await calls[call](args) }));
  } catch (error) {
    console.log(JSON.stringify({ error: messageOf(error) }));
  }
}

/** The model with its feature behind a random projection to `to` numbers. */
function projected(source: EncoderModel, to: number): EncoderModel {
  const { value } = selectFeature(source.graph, source.feature);
  const nodes = [...source.graph.nodes];
  const b = new GraphBuilder(
    { ...source.graph, nodes, constants: new Map(source.graph.constants) },
    "project/",
  );
  const from = 1280;
  const weight = Float32Array.from({ length: from * to }, () => random.normal() / Math.sqrt(from));
  const flat = b.reshape(value, [-1, from]);
  const feature = b.op("MatMul", [flat, b.floats([from, to], weight)]);
  b.graph.outputs.push({ name: feature, dtype: "float32", dims: [] });
  return { ...source, graph: b.graph, feature };
}
