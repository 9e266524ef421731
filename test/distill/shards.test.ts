import { describe, expect, it } from "vitest";
import { createStep } from "../../src/distill/create-step.ts";
import { distillStep, initialState } from "../../src/distill/loop.ts";
import { openImages } from "../../src/distill/open-images.ts";
import { shareOut } from "../../src/distill/sharded-images.ts";
import type { DistillState } from "../../src/distill/state.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { helperProcesses } from "../../src/helpers/process.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters, type SyntheticParameters } from "../../src/synthetic/parameters.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const classes = 7;
const steps = 6;
const config = DistillConfig.parse({
  steps,
  batchSize: 20,
  levelEvery: 2,
  seed: 3,
  targets: 4,
  // Every kind of view, with random crops and noise.
  augment: 1,
  clean: true,
  augmentation: "moderate",
  ridge: "per-view",
});
const real = randomFeatures(seededRandom(0, "real"), 40, smallFeatures, classes);

/** A second encoder, with another input and another feature. */
const other = { seed: 9, side: 6, features: 4 };
const otherReal = randomFeatures(seededRandom(1, "real"), 40, other.features, classes);

interface Started {
  readonly parameters: SyntheticParameters;
  readonly state: DistillState;
}

/** Runs steps `from.step` to `until` with so many threads; `onStep` may interfere. */
async function run(
  threads: number,
  {
    until = steps,
    from,
    onStep,
    several = false,
  }: { until?: number; from?: Started; onStep?: (step: number) => void; several?: boolean } = {},
) {
  const runtime = nodeRuntime({ threads });
  const encoder = await createEncoder(runtime, smallEncoder(smallGraph()));
  const second = smallEncoder(smallGraph(other), undefined, other.side);
  const encoders = several ? [encoder, await createEncoder(runtime, second)] : [encoder];
  const parameters = from?.parameters ?? noiseParameters("pyramid", classes, smallSide, config.seed);
  const state = from?.state ?? initialState(config, classes, real.count, parameters);
  const { images, processes } = await openImages(runtime, encoders, config, 2 ** 31, {
    parameters,
    reload: async () => parameters,
    // The last of four shards has one image.
    cut: { batch: 2 },
  });
  const { parts, release } = await createStep({
    runtime: nodeRuntime({ threads: 1 }),
    config,
    classes,
    real: several ? [real, otherReal] : [real],
    images,
  });
  const losses: number[] = [];
  while (state.step < until) {
    losses.push((await distillStep(parts, state)).loss);
    onStep?.(state.step);
  }
  const end = { parameters: await images.parameters(), state, losses };
  const features = await images.plainFeatures();
  const rendered: Float32Array[] = [];
  for await (const part of images.rendered()) rendered.push(part.images);
  await release();
  for (const one of encoders) await one.release();
  return { ...end, features, rendered, processes };
}

const bits = ({ parameters, features, rendered, state }: Awaited<ReturnType<typeof run>>) => ({
  parameters,
  features,
  rendered,
  state: { ...state, sampler: state.sampler.state },
});

describe("images in shards", { timeout: 120_000 }, () => {
  it("come out with the same bits for any number of processes", async () => {
    const alone = await run(1);
    expect(alone.processes).toBe(1);
    expect(alone.parameters.levels.length).toBe(3);
    for (const threads of [2, 3, 8]) {
      const shared = await run(threads);
      expect(shared.processes).toBe(Math.min(threads, 4));
      expect(bits(shared)).toEqual(bits(alone));
      expect(shared.losses).toEqual(alone.losses);
    }
    expect(helperProcesses()).toEqual([]);
  });

  it("go on with another number of processes as if nothing had been", async () => {
    const whole = await run(1);
    const half = await run(2, { until: 3 });
    expect(bits(await run(3, { from: half }))).toEqual(bits(whole));
  });

  it("come out with the same bits for several encoders too, whole and taken up again", async () => {
    const alone = await run(1, { several: true });
    expect(alone.features).toHaveLength(classes * (smallFeatures + other.features));
    const half = await run(2, { several: true, until: 3 });
    expect(bits(await run(3, { several: true, from: half }))).toEqual(bits(alone));
    expect(alone.parameters).not.toEqual((await run(1)).parameters);
  });

  it("are made anew by another process where one is killed, bit for bit", async () => {
    const whole = await run(1);
    let killed = 0;
    const disturbed = await run(3, {
      onStep(step) {
        if (step !== 2 && step !== 5) return;
        process.kill(helperProcesses()[0], "SIGKILL");
        killed++;
      },
    });
    expect(killed).toBe(2);
    expect(bits(disturbed)).toEqual(bits(whole));
  });
});

describe("sharing shards out", () => {
  it("gives every image to one shard, in order, and the first holder no more than the others", () => {
    expect(shareOut(7, 2, 3)).toEqual([
      { start: 0, count: 2, holder: 0, place: 0 },
      { start: 2, count: 2, holder: 1, place: 0 },
      { start: 4, count: 2, holder: 2, place: 0 },
      { start: 6, count: 1, holder: 2, place: 1 },
    ]);
    expect(shareOut(2, 2, 8)).toEqual([{ start: 0, count: 2, holder: 0, place: 0 }]);
  });
});
