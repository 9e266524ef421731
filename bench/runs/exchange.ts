/**
 * The exchange of features among `--workers` processes of one thread, through a server on the loopback interface that
 * this starts: every step, each worker publishes the features of its shards and waits until it has those of all. Then
 * whole steps of a run with an encoder of one layer, one image per class: rendering, features, exchange, the probe of all images and
 * the update.
 *
 *   node exchange.js --m 1000 --d 768 --workers 4 [--steps 20] [--whole 4] [--shard 8]
 *
 * Prints one line: {m, d, workers, shards, milliseconds (median over steps of the slowest worker's wait), bytesIn,
 * bytesOut (of the server, per step), stepMilliseconds (median of the slowest worker's whole steps)}.
 */
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createStep } from "../../src/distill/create-step.ts";
import { workerInProcess } from "../../src/distill/images-in-process.ts";
import { distillStep, initialState } from "../../src/distill/loop.ts";
import { shareOut } from "../../src/distill/sharded-images.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import type { Preprocessing } from "../../src/images/preprocess.ts";
import { parseRunAddress } from "../../src/machines/address.ts";
import { FeatureLog } from "../../src/machines/feature-log.ts";
import { Publisher } from "../../src/machines/publisher.ts";
import { openRun, RunServer } from "../../src/machines/run-server.ts";
import { Connection } from "../../src/machines/server.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomFeatures } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { levelCount, noiseParameters } from "../../src/synthetic/parameters.ts";

/** What one setting came to. */
export interface Exchange {
  readonly m: number;
  readonly d: number;
  readonly workers: number;
  readonly shards: number;
  readonly milliseconds: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of a whole step with an encoder of one layer. */
  readonly stepMilliseconds: number;
}

/** What a worker has measured: milliseconds of each exchange, and of each whole step. */
interface Times {
  readonly exchanges: readonly number[];
  readonly steps: readonly number[];
}

const { values: options } = parseArgs({
  options: {
    m: { type: "string", default: "1000" },
    d: { type: "string", default: "768" },
    workers: { type: "string", default: "2" },
    steps: { type: "string", default: "20" },
    whole: { type: "string", default: "4" },
    shard: { type: "string", default: "8" },
    port: { type: "string" },
    index: { type: "string" },
  },
});
const [m, d, workers, steps] = [options.m, options.d, options.workers, options.steps].map(Number);
/** Whole steps, and the first ones of either kind, which make connections and compile. */
const whole = Number(options.whole);
const warmUp = { exchanges: 3, steps: 1 };
const shards = shareOut(m, Number(options.shard), 1);
const name = "exchange";
/** Side of the images of whole steps. */
const side = 8;

if (options.index === undefined) await lead();
else await work(Number(options.port), Number(options.index));

async function lead(): Promise<void> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "clp-dd-exchange-"));
  const settings = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", ""];
  const server = spawn("redis-server", settings, { stdio: "ignore" });
  const connection = new Connection(parseRunAddress(`redis://127.0.0.1:${port}/${name}`, {}), {
    purpose: "measuring",
    patience: 60,
  });
  try {
    await begin(connection);
    const before = await traffic(connection);
    const times = await Promise.all(
      Array.from({ length: workers }, (_, index) => {
        const args = [...process.argv.slice(2), "--port", `${port}`, "--index", `${index}`];
        const child = fork(new URL(import.meta.url), args);
        return new Promise<Times>((resolve, reject) => {
          child.once("message", (message) => resolve(message as Times));
          child.once("exit", (code) => reject(new Error(`a worker ended with code ${code}`)));
        });
      }),
    );
    const slowest = (of: keyof Times, count: number) => {
      const each = Array.from({ length: count }, (_, i) => Math.max(...times.map((own) => own[of][i])));
      const counted = each.slice(warmUp[of]).sort((a, b) => a - b);
      return counted[Math.floor(counted.length / 2)];
    };
    const after = await traffic(connection);
    const found: Exchange = {
      ...{ m, d, workers, shards: shards.length },
      milliseconds: slowest("exchanges", steps),
      // Whole steps send the same.
      bytesIn: (after.in - before.in) / (steps + whole),
      bytesOut: (after.out - before.out) / (steps + whole),
      stepMilliseconds: slowest("steps", whole),
    };
    console.log(JSON.stringify(found));
  } finally {
    connection.end();
    server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One worker. All begin an exchange at the same time, as after the same work. */
async function work(port: number, index: number): Promise<void> {
  const address = parseRunAddress(`redis://127.0.0.1:${port}/${name}`, {});
  const connection = new Connection(address, { purpose: "measuring", patience: 60 });
  const record = await begin(connection);
  const server = new RunServer(connection, address, name, record.id, 600_000);
  const status = {
    ...{ host: "bench", pid: index, cpu: "", step: 0, loss: null, shards: 0, imagesPerSecond: null },
    ...{ stepSeconds: null, waitSeconds: null, progress: 0, doing: "distilling" as const },
  };
  await server.begin(status);
  const own = [...shards.keys()].filter((shard) => Math.floor((shard * workers) / shards.length) === index);
  await server.claim(own.length, own);
  const lengths = shards.map(({ count }) => count * d);
  const log = new FeatureLog(address, name, lengths, { purpose: "measuring", patience: 60 });
  await log.upToDate();
  const publisher = new Publisher(server);
  const publish = async (step: number, levels: number, shard: number, features: Float32Array) => {
    await publisher.publish({ step, levels, due: false, digest: undefined, shard, features });
    log.add(step, levels, shard, features, false);
  };
  const complete = async (step: number, levels: number) => {
    for (;;) {
      const known = log.complete(step, levels);
      if (known) return known.features;
      await log.changed(1000);
    }
  };

  const random = seededRandom(index, "features");
  const features = own.map((shard) => Float32Array.from({ length: lengths[shard] }, () => random.normal()));
  const exchanges: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await Promise.all(own.map((shard, i) => publish(step, 1, shard, features[i])));
    await complete(step, 1);
    exchanges.push(performance.now() - start);
    log.forget(step);
  }

  const run = await wholeSteps(own, async (step, levels, computed) => {
    await Promise.all(own.map(async (shard, i) => publish(steps + step, levels, shard, await computed[i])));
    const all = await complete(steps + step, levels);
    log.forget(steps + step);
    const joined = new Float32Array(m * d);
    for (const [shard, { start }] of shards.entries()) joined.set(all.get(shard)!, start * d);
    return joined;
  });
  const times: Times = { exchanges, steps: await run() };
  log.end();
  connection.end();
  process.send!(times, () => process.exit(0));
}

type Gather = (
  step: number,
  levels: number,
  computed: readonly Promise<Float32Array>[],
) => Promise<Float32Array>;

/** Steps of a run in which this worker has the shards `own`: the function runs them, and gives the milliseconds of each. */
async function wholeSteps(own: readonly number[], gather: Gather): Promise<() => Promise<number[]>> {
  const runtime = nodeRuntime({ threads: 1 });
  const config = DistillConfig.parse({ ipc: 1, targets: 0, steps: whole });
  const encoder = await createEncoder(runtime, oneLayer());
  const { setup, holders } = await workerInProcess(runtime, [encoder], config, 2 ** 30, {
    ...{ count: m, size: side },
    cut: { batch: Number(options.shard) },
  });
  const [make] = holders;
  const holder = make!();
  const partOf = ({ start, count }: (typeof shards)[number]) =>
    noiseParameters(config.parametrization, count, side, 0, start);
  const parts = own.map((shard) => partOf(shards[shard]));
  await holder.request({ kind: "start", setup, shards: parts });
  const real = randomFeatures(seededRandom(0, "real"), Math.max(1024, 2 * m), d, m);
  const images = {
    ...{ count: m, featureSize: d, levelCount: levelCount(config.parametrization, side) },
    features: (step: number, levels: number) =>
      gather(
        step,
        levels,
        own.map(async (_, place) => {
          const [features] = await holder.request({ kind: "features", step, levels, places: [place] });
          return features!;
        }),
      ),
    update(cotangents: Float32Array, learningRate: number) {
      const rows = own.map((shard) => {
        const { start, count } = shards[shard];
        return cotangents.slice(start * d, (start + count) * d);
      });
      void holder.request({ kind: "update", learningRate, cotangents: rows });
    },
    release: () => holder.end(),
  };
  const step = await createStep({ runtime, config, classes: m, real: [real], images });
  // Of more workers than shards some have none; a state is of the levels alone.
  const state = initialState(config, m, real.count, parts[0] ?? partOf(shards[0]));
  return async () => {
    const milliseconds: number[] = [];
    for (let i = 0; i < whole; i++) {
      const start = performance.now();
      await distillStep(step.parts, state);
      milliseconds.push(performance.now() - start);
    }
    await step.release();
    return milliseconds;
  };
}

/** An encoder of one layer: images of `side` px to d numbers. */
function oneLayer(): EncoderModel {
  const random = seededRandom(0, "layer");
  const b = new GraphBuilder();
  const image = b.input("pixels", ["batch", 3, side, side], "float32");
  const inner = 3 * side * side;
  const weights = Float32Array.from({ length: inner * d }, () => random.normal() / Math.sqrt(inner));
  const flat = b.op("Flatten", [image]);
  b.named("Tanh", [b.op("Gemm", [flat, b.floats([inner, d], weights)])], "features");
  b.output("features", { dims: ["batch", d] });
  return {
    provenance: { id: "one layer", sha256: "0".repeat(64) },
    graph: b.graph,
    preprocessing: preprocessing(),
  };
}

/** Images are taken as they are. */
function preprocessing(): Preprocessing {
  return {
    ...{ resize: side, crop: [side, side], interpolation: "bicubic", cropOffset: "round" },
    ...{ mean: [0, 0, 0], std: [1, 1, 1] },
  };
}

async function begin(connection: Connection) {
  const identity = {
    config: DistillConfig.parse({}),
    encoder: "",
    feature: "",
    preprocessing: preprocessing(),
    data: "",
  };
  const cut = { batch: Number(options.shard), activations: "recompute" as const };
  const common = { version: "0", protocol: "0", identity, cut, count: m, shards: shards.length, steps };
  const { record } = await openRun(connection, name, { ...common, base: null, out: "", began: "" }, 0);
  return record;
}

async function traffic(connection: Connection): Promise<{ in: number; out: number }> {
  const text = String(await connection.command(["INFO", "stats"]));
  const field = (key: string) => Number(new RegExp(`^${key}:(\\d+)`, "m").exec(text)?.[1]);
  return { in: field("total_net_input_bytes"), out: field("total_net_output_bytes") };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
