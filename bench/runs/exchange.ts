/**
 * The exchange of features among `--workers` processes of one thread, through a server on the loopback interface that
 * this starts: every step, each worker publishes the features of its shards and waits until it has those of all.
 *
 *   node exchange.js --m 1000 --d 768 --workers 4 [--steps 20] [--shard 8]
 *
 * Prints one line: {m, d, workers, shards, milliseconds (median over steps of the slowest worker's wait), bytesIn,
 * bytesOut (of the server, per step)}.
 */
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { shareOut } from "../../src/distill/sharded-images.ts";
import { parseRunAddress } from "../../src/machines/address.ts";
import { FeatureLog } from "../../src/machines/feature-log.ts";
import { openRun, RunServer } from "../../src/machines/run-server.ts";
import { Connection } from "../../src/machines/server.ts";
import { seededRandom } from "../../src/random.ts";
import { DistillConfig } from "../../src/recipe/config.ts";

/** What one setting came to. */
export interface Exchange {
  readonly m: number;
  readonly d: number;
  readonly workers: number;
  readonly shards: number;
  readonly milliseconds: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

const { values: options } = parseArgs({
  options: {
    m: { type: "string", default: "1000" },
    d: { type: "string", default: "768" },
    workers: { type: "string", default: "2" },
    steps: { type: "string", default: "20" },
    shard: { type: "string", default: "8" },
    port: { type: "string" },
    index: { type: "string" },
  },
});
const [m, d, workers, steps] = [options.m, options.d, options.workers, options.steps].map(Number);
const shards = shareOut(m, Number(options.shard), 1);
const name = "exchange";

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
    const waits = await Promise.all(
      Array.from({ length: workers }, (_, index) => {
        const args = [...process.argv.slice(2), "--port", `${port}`, "--index", `${index}`];
        const child = fork(new URL(import.meta.url), args);
        return new Promise<number[]>((resolve, reject) => {
          child.once("message", (message) => resolve(message as number[]));
          child.once("exit", (code) => reject(new Error(`a worker ended with code ${code}`)));
        });
      }),
    );
    const after = await traffic(connection);
    // The first steps make connections and compile.
    const slowest = Array.from({ length: steps }, (_, step) =>
      Math.max(...waits.map((own) => own[step])),
    ).slice(3);
    const found: Exchange = {
      ...{ m, d, workers, shards: shards.length },
      milliseconds: slowest.sort((a, b) => a - b)[Math.floor(slowest.length / 2)],
      bytesIn: (after.in - before.in) / steps,
      bytesOut: (after.out - before.out) / steps,
    };
    console.log(JSON.stringify(found));
  } finally {
    connection.end();
    server.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One worker: milliseconds of each exchange. All begin a step at the same time, as after the same work. */
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
  const random = seededRandom(index, "features");
  const features = own.map((shard) => Float32Array.from({ length: lengths[shard] }, () => random.normal()));
  const log = new FeatureLog(address, name, lengths, { purpose: "measuring", patience: 60 });
  await log.upToDate();
  const milliseconds: number[] = [];
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await Promise.all(
      own.map(async (shard, i) => {
        const { buffer } = features[i];
        const entry = { step, levels: 1, due: false, digest: undefined, shards: [shard] };
        await server.publish({ ...entry, bytes: new Uint8Array(buffer) });
        log.add(step, 1, shard, features[i], false);
      }),
    );
    while (log.complete(step, 1) === undefined) await log.changed(1000);
    milliseconds.push(performance.now() - start);
    log.forget(step);
  }
  log.end();
  connection.end();
  process.send!(milliseconds, () => process.exit(0));
}

async function begin(connection: Connection) {
  const preprocessing = {
    ...{
      resize: 8,
      crop: [8, 8] as [number, number],
      interpolation: "bicubic" as const,
      cropOffset: "round" as const,
    },
    ...{ mean: [0, 0, 0] as [number, number, number], std: [1, 1, 1] as [number, number, number] },
  };
  const identity = { config: DistillConfig.parse({}), encoder: "", feature: "", preprocessing, data: "" };
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
