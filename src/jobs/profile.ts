import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { JobContext } from "../context.ts";
import { createStep } from "../distill/create-step.ts";
import { imagesOf } from "../distill/images-in-process.ts";
import { choiceSteps, distillStep, initialState, nextTargets } from "../distill/loop.ts";
import type { DistillParts, DistillState } from "../distill/state.ts";
import { viewCount } from "../distill/views.ts";
import { type ChunkedEncoder, createChunkedEncoder } from "../encoder/chunks.ts";
import { imagesACall, shardSize } from "../encoder/images-per-call.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import { InterruptedError } from "../errors.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { profilingRuntime, readProfile } from "../onnx-vjp/runtime/ort-profile.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { solveRidge } from "../probe/ridge.ts";
import { randomFeatures } from "../probe/rows.ts";
import { seededRandom } from "../random.ts";
import { DistillConfig } from "../recipe/config.ts";
import { withPreset } from "../recipe/presets.ts";
import { adamBlock, adamStep } from "../synthetic/adam.ts";
import { augmentationOf } from "../synthetic/augment.ts";
import { type Augmenter, createAugmenter } from "../synthetic/augmenter.ts";
import { addLevel, levelCount, noiseParameters, type SyntheticParameters } from "../synthetic/parameters.ts";
import { createRenderer, type Renderer } from "../synthetic/renderer.ts";
import type { ProfileParams } from "./params.ts";
import type { PassNodeTime, StepProfile } from "./step-profile.ts";

const realImages = 1024;

/**
 * Runs a few steps of a distillation against random real features, with every level of the pyramid in use, and
 * reports where their time went: by part of a step, and by operator and node within the encoder (ONNX Runtime's
 * profiler, which is on throughout).
 */
export async function profileStep(params: ProfileParams, context: JobContext): Promise<StepProfile> {
  const { images: m, steps } = params;
  const classes = Math.min(m, params.classes ?? m);
  // As a process of a distillation runs it: with one thread, one shard after the other.
  const { runtime, encoder } = await openEncoder({ ...params, threads: 1 }, context);
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-profile-"));
  try {
    const recipe = withPreset(undefined, { ipc: Math.ceil(m / classes), steps: steps + 1 });
    const config = DistillConfig.parse(recipe);
    const views = viewCount(config);
    const count = classes * config.ipc;
    const size = encoder.preprocessing.crop[0];
    const ideal = imagesACall({ device: "cpu", threads: 1 }, encoder.bytesPerImage);
    const chunked = await createChunkedEncoder(
      profilingRuntime(runtime, folder),
      ...([encoder, count, views, params.memoryBytes] as const),
      runtime.device === "cpu" ? { batch: shardSize(count, ideal, availableParallelism()) } : {},
    );
    const { batch, chunks, activations } = chunked.plan;
    const real = randomFeatures(
      seededRandom(0, "profile features"),
      realImages,
      encoder.featureSize,
      classes,
    );
    const parameters = wholePyramid(count, size);
    const renderer = createRenderer(runtime, batch, config.weightDecay);
    const clock = new Clock();
    const images = await imagesOf(
      {
        config,
        encoders: [timedEncoder(chunked, clock)],
        renderer: timedRenderer(renderer, clock),
        augmenter: timedAugmenter(
          await createAugmenter(runtime, augmentationOf(config), config.seed, batch, size, size),
          clock,
        ),
      },
      parameters,
    );
    const { parts, release } = await createStep({
      runtime: nodeRuntime({ threads: 1 }),
      config,
      classes,
      real: [real],
      images,
    });
    const state = initialState(config, classes, real.count, parameters);
    let stepMs = 0;
    for (let step = 0; step <= steps; step++) {
      const start = performance.now();
      await distillStep(parts, state);
      // The update is part of the step.
      await images.settled();
      // Sessions are made and memory is laid out in the first step.
      if (step === 0) clock.reset();
      else stepMs += (performance.now() - start) / steps;
      context.progress({ stage: "Profiling", done: step, total: steps, unit: "steps" });
      if (context.signal.aborted) throw new InterruptedError("Stopped before the profile was complete.");
    }
    // One solve for each view and feature map.
    const solves = views * config.normalize.length;
    const solveMs = solves * (await timeOfSolve(count, classes, encoder.featureSize, parts.gemm, steps));
    const adamMs = await timeOfAdam(parameters, steps);
    const targetsMs = await timeOfTargets(parts, state, steps);
    await release();
    await encoder.release();
    const passes = await Promise.all(
      (["forward", "pullback"] as const).map(async (pass, session) =>
        (await readProfile(folder, session, chunks * views, steps)).map((time) => ({ ...time, pass })),
      ),
    );
    const nodes = passes.flat().sort((a, b) => b.ms - a.ms);
    const ms = (part: Part): number => clock.ms[part] / steps;
    const encoderMs = ms("features") + ms("pullback");
    const between = stepMs - encoderMs - ms("render") - ms("augment") - ms("update");
    const stages = [
      ["rendering", ms("render")],
      ["augmented draws, and their pullback", ms("augment")],
      ["encoder: features", ms("features")],
      ["ridge solve and adjoint", solveMs],
      ["objective, feature map and batch", Math.max(0, between - solveMs)],
      ["encoder: pullback", ms("pullback")],
      ["rendering: pullback", Math.max(0, ms("update") - adamMs)],
      ["Adam", adamMs],
    ] as const;
    return {
      encoder: encoder.provenance.id,
      size,
      images: count,
      classes,
      batch,
      activations,
      device: runtime.device,
      threads: runtime.threads,
      steps,
      stepMs,
      targetsMs,
      encoderMs,
      stages: stages.map(([name, ms]) => ({ name, ms, share: ms / stepMs })),
      outsideMs: Math.max(0, encoderMs - nodes.reduce((sum, node) => sum + node.ms, 0)),
      ops: byOperator(nodes).map((op) => ({ ...op, share: op.ms / encoderMs })),
      nodes: nodes.map((node) => ({ ...node, share: node.ms / encoderMs })),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function timeOfTargets(parts: DistillParts, state: DistillState, steps: number): Promise<number> {
  const { config } = parts;
  const { targets } = parts.encoders[0];
  if (targets === undefined) return 0;
  const began = performance.now();
  await nextTargets(parts, 0, state, targets.start, steps);
  return (((performance.now() - began) / steps) * choiceSteps) / config.targets;
}

/** Sums over the nodes of each operator: its nodes in each pass and their time, most expensive first. */
export function byOperator(nodes: readonly PassNodeTime[]) {
  const ops = new Map<string, { op: string; forward: number; pullback: number; ms: number }>();
  for (const { op, pass, ms } of nodes) {
    const sum = ops.get(op) ?? { op, forward: 0, pullback: 0, ms: 0 };
    sum[pass]++;
    sum.ms += ms;
    ops.set(op, sum);
  }
  return [...ops.values()].sort((a, b) => b.ms - a.ms);
}

type Part = "render" | "augment" | "features" | "pullback" | "update";

/** Adds up the time spent in each part. */
class Clock {
  readonly ms: Record<Part, number> = { render: 0, augment: 0, features: 0, pullback: 0, update: 0 };

  async time<T>(part: Part, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.ms[part] += performance.now() - start;
    return result;
  }

  reset(): void {
    for (const part of Object.keys(this.ms) as Part[]) this.ms[part] = 0;
  }
}

function timedEncoder(encoder: ChunkedEncoder, clock: Clock): ChunkedEncoder {
  return {
    ...encoder,
    features: (index, images) => clock.time("features", () => encoder.features(index, images)),
    pullback: (index, images, cotangent, into) =>
      clock.time("pullback", () => encoder.pullback(index, images, cotangent, into)),
  };
}

function timedAugmenter(augmenter: Augmenter, clock: Clock): Augmenter {
  return {
    ...augmenter,
    apply: (...draw) => clock.time("augment", () => augmenter.apply(...draw)),
    pullback: (...draw) => clock.time("augment", () => augmenter.pullback(...draw)),
  };
}

function timedRenderer(renderer: Renderer, clock: Clock): Renderer {
  return {
    ...renderer,
    render: (parameters, start) => clock.time("render", () => renderer.render(parameters, start)),
    update: (...step) => clock.time("update", () => renderer.update(...step)),
  };
}

function wholePyramid(count: number, size: number): SyntheticParameters {
  const parameters = noiseParameters("pyramid", count, size, 0);
  while (parameters.levels.length < levelCount("pyramid", size)) addLevel(parameters, 0);
  return parameters;
}

/** Median milliseconds of one ridge solve and adjoint at the step's shapes. */
async function timeOfSolve(
  m: number,
  C: number,
  d: number,
  gemm: DistillParts["gemm"],
  times: number,
): Promise<number> {
  const random = seededRandom(0, "profile solve");
  const draw = (rows: number, cols: number): Matrix =>
    matrix(
      rows,
      cols,
      Float64Array.from({ length: rows * cols }, () => random.normal()),
    );
  const [Zs, Ys, G] = [draw(m, d), draw(m, C), draw(d, C)];
  return medianTime(times, async () => (await solveRidge(Zs, Ys, { lambda: 1, gemm })).adjoint(G));
}

/** Median milliseconds of Adam's pass over all parameters. */
function timeOfAdam({ levels }: SyntheticParameters, times: number): Promise<number> {
  const blocks = levels.map(({ values }) => ({ block: adamBlock(values.slice()), gradient: values }));
  return medianTime(times, async () => {
    for (const { block, gradient } of blocks) adamStep(block, gradient, 0, 1, 0.1);
  });
}

async function medianTime(times: number, work: () => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  await work();
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await work();
    taken.push(performance.now() - start);
  }
  return taken.sort((a, b) => a - b)[taken.length >> 1];
}
