import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { createStep } from "../../src/distill/create-step.ts";
import { imagesOf } from "../../src/distill/images-in-process.ts";
import { distillStep, initialState, syntheticLabels } from "../../src/distill/loop.ts";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import { featuresFile } from "../../src/features/cache-format.ts";
import { type FeatureCache, openFeatureCache } from "../../src/features/cache-reader.ts";
import { requireEveryClass } from "../../src/features/extract.ts";
import { type MeasuredStage, stageCollector } from "../../src/memory.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { crossEntropy } from "../../src/probe/cross-entropy.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { chooseGemm, jsGemm } from "../../src/probe/gemm.ts";
import { centeredOneHot } from "../../src/probe/labels.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { solveRidge } from "../../src/probe/ridge.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { noiseParameters } from "../../src/synthetic/parameters.ts";
import { createRenderer } from "../../src/synthetic/renderer.ts";
import { preprocessing, shape } from "./million-make.ts";

export interface MillionSteps {
  readonly m: number;
  readonly size: number;
  readonly classes: number;
  readonly batchSize: number;
  readonly encoder: string;
  readonly inMemory: boolean;
  readonly stages: readonly MeasuredStage[];
  readonly steps: number;
  readonly stepMs: number;
  /** Milliseconds of a step by part; they add up to `stepMs`. */
  readonly step: Readonly<Record<string, number>>;
  readonly readingRounds: number;
  readonly reading: readonly {
    readonly name: string;
    readonly warmMs: number;
    readonly coldMs: number | undefined;
  }[];
}

const readingRounds = 20;

/** Distills from the cache at `path` as `clp-dd distill` does and measures it. */
export async function distil(path: string, steps: number): Promise<MillionSteps> {
  const { size, classes, d } = shape;
  const { stages, staged } = stageCollector();
  // `clp-dd distill` reads a cache of 1 GiB or less into memory: one of fewer rows than the whole is not to be.
  const cache = await staged("opening the cache", async () => {
    const opened = await openFeatureCache(path, { memoryBytes: 0 });
    requireEveryClass(opened.labels, opened.header.classes, 1);
    return opened;
  });
  const config = DistillConfig.parse({ ipc: 1, steps: steps + 1 });
  await staged("mean and standard deviation", () => fitFeatureMaps(config.normalize, cache));
  const runtime = nodeRuntime({ threads: 2 });
  const encoder = await createEncoder(runtime, smallEncoder());
  const chunked = await createChunkedEncoder(runtime, encoder, classes, 1, 2 ** 30);
  const renderer = createRenderer(runtime, chunked.plan.batch);
  const gemm = chooseGemm(jsGemm, ortGemm(runtime));
  const clock = new Clock();
  const real = { ...cache, rows: clock.timed("reading the batch", cache.rows) };
  const parameters = noiseParameters(config.parametrization, classes, size, config.seed);
  const work = "rendering, encoder, pullback, Adam";
  const images = await imagesOf(
    {
      config,
      augmenter: undefined,
      encoders: [
        {
          ...chunked,
          features: clock.timed(work, chunked.features),
          pullback: clock.timed(work, chunked.pullback),
        },
      ],
      renderer: {
        ...renderer,
        render: clock.timed(work, renderer.render),
        update: clock.timed(work, renderer.update),
      },
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
  const { maps } = parts.encoders[0];
  const state = initialState(config, classes, cache.count, parameters);
  await distillStep(parts, state); // Sessions are made at their first use.
  await images.settled();
  clock.reset();
  const start = performance.now();
  await staged(`${steps} steps`, async () => {
    for (let step = 0; step < steps; step++) await distillStep(parts, state);
    await images.settled();
  });
  const stepMs = (performance.now() - start) / steps;
  const step: Record<string, number> = {};
  for (const [name, ms] of clock.totals) step[name] = ms / steps;

  // The objective's parts, on features and a batch of the same kind.
  const random = seededRandom(1, "features");
  const synthetic = maps[0].apply(
    Float32Array.from({ length: classes * d }, () => random.normal()),
    classes,
  ).values;
  const labels = centeredOneHot(syntheticLabels(classes, 1), classes);
  const indices = state.sampler.next();
  const rows = new Float32Array(indices.length * d);
  await cache.rows(indices, rows);
  const y = Int32Array.from(indices, (i) => cache.labels[i]);
  let solveMs = 0;
  let lossMs = 0;
  for (let round = 0; round < steps; round++) {
    const began = performance.now();
    const probe = await solveRidge(synthetic, labels, { lambda: config.lambda, gemm });
    const solved = performance.now();
    const Z = maps[0].apply(rows, indices.length).values;
    const { gradient } = crossEntropy(await gemm.multiply(Z, probe.weight, { alpha: 1 / config.tau }), y);
    const byWeight = await gemm.multiply(Z, gradient, { transA: true, alpha: 1 / config.tau });
    const lost = performance.now();
    await probe.adjoint(byWeight);
    solveMs += (solved - began + performance.now() - lost) / steps;
    lossMs += (lost - solved) / steps;
  }
  step["closed form: solve and adjoint"] = solveMs;
  step["feature map and loss of the batch"] = lossMs;
  const known = Object.values(step).reduce((sum, ms) => sum + ms, 0);
  step["everything else"] = stepMs - known;

  const reading = await readings(cache, path, config.batchSize);
  await release();
  cache.close();
  return {
    m: classes,
    size,
    classes,
    batchSize: config.batchSize,
    inMemory: cache.inMemory,
    encoder: "4 × 4 patches, 64 channels, ReLU, linear",
    stages,
    steps,
    stepMs,
    step,
    readingRounds,
    reading,
  };
}

/** Patches, ReLU and a linear layer: real products and a real pullback, and next to no time. */
function smallEncoder(): EncoderModel {
  const { size, d } = shape;
  const random = seededRandom(0, "small encoder");
  const normal = (dims: readonly number[], fan: number): Float32Array =>
    Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => random.normal() / Math.sqrt(fan));
  const b = new GraphBuilder();
  const image = b.input("pixel_values", ["batch", 3, size, size]);
  const patches = b.floats([64, 3, 4, 4], normal([64, 3, 4, 4], 48));
  const strides = { strides: { kind: "ints", value: [4, 4] } } as const;
  const hidden = b.op("Relu", [b.op("Conv", [image, patches], strides)]);
  const side = size / 4;
  const linear = b.floats([d, 64, side, side], normal([d, 64, side, side], 64 * side * side));
  b.output(b.op("Conv", [hidden, linear]), { dims: ["batch", d, 1, 1] }, "features");
  return { provenance: { id: "small", sha256: "0".repeat(64) }, graph: b.graph, preprocessing };
}

/** Milliseconds spent in wrapped functions, by name. */
class Clock {
  readonly totals = new Map<string, number>();

  timed<Args extends unknown[], Result>(
    name: string,
    call: (...args: Args) => Promise<Result>,
  ): (...args: Args) => Promise<Result> {
    return async (...args) => {
      const start = performance.now();
      const result = await call(...args);
      this.totals.set(name, (this.totals.get(name) ?? 0) + performance.now() - start);
      return result;
    };
  }

  reset(): void {
    this.totals.clear();
  }
}

const ways = ["one by one, as drawn", "in the file's order", "ahead, several at once"] as const;

/** Time of a batch of random rows, read in each of the ways, with the file in the system's cache or not. */
async function readings(
  cache: FeatureCache,
  path: string,
  batchSize: number,
): Promise<MillionSteps["reading"]> {
  const random = seededRandom(2, "reading");
  const out = new Float32Array(batchSize * shape.d);
  const measure = async (way: (typeof ways)[number]): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < readingRounds; round++) {
      const rows = Int32Array.from({ length: batchSize }, () => random.below(cache.count));
      if (way === "in the file's order") rows.sort();
      const start = performance.now();
      if (way === "ahead, several at once") cache.readAhead?.(rows);
      await cache.rows(rows, out);
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b)[readingRounds / 2];
  };
  const results = [];
  for (const name of ways) {
    const coldMs = evicted(join(path, featuresFile)) ? await measure(name) : undefined;
    results.push({ name, coldMs });
  }
  // A pass over all rows brings the file back.
  execFileSync("cat", [join(path, featuresFile)], { stdio: "ignore" });
  const measured = [];
  for (const { name, coldMs } of results) {
    measured.push({ name, coldMs, warmMs: await measure(name) });
  }
  return measured;
}

/** Asks the system to drop the file from its cache (GNU dd); false where that cannot be done. */
function evicted(file: string): boolean {
  try {
    execFileSync("dd", [`if=${file}`, "iflag=nocache", "count=0"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
