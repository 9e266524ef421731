/**
 * Features and pixel gradient of a frozen encoder against TensorFlow.js and jax-js, both on WebAssembly in a headless
 * Chromium, with the same weights, in one run, in turn; and this project's graphs by ONNX Runtime Web in the same
 * browser, so that native code's share is seen.
 *
 *   node web-peers.js --model vit-s16 [--size 224] [--batches 1,8] [--threads 2] [--seconds 8]
 *
 * Of a model that bench/peers/models.py knows its random weights are taken where the Python peers are installed;
 * EfficientNet-Lite0 is the embedded one. Prints a line of JSON, `WebPeers`, whenever more is known; the last counts.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { featuresOutput, imagesInput } from "../../src/encoder/batched-features.ts";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder, type Encoder } from "../../src/encoder/encoder.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { messageOf } from "../../src/errors.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../src/random.ts";
import { featuresSession } from "../lib/features-session.ts";
import { elapsed, inTurn, median, relativeError, type Timed } from "../lib/measure.ts";
import { exportedModel, Peer, webPeers } from "../lib/peer.ts";
import { portable } from "../lib/portable.ts";
import { type Mode, type Side, sides, type WebPeers, type WebRow } from "../lib/web-peers-table.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-s16" },
    size: { type: "string", default: "224" },
    batches: { type: "string", default: "1,8" },
    threads: { type: "string", default: "2" },
    seconds: { type: "string", default: "8" },
  },
});
const embedded = "efficientnet-lite0";
const size = Number(options.size);
const threads = Number(options.threads);
const modes: readonly Mode[] = ["features", "step"];
/** A round of all sides that takes longer than this, in milliseconds, is run once. */
const longRound = 60_000;
/** A peer that has not answered after this many seconds is stopped. */
const patience = 120;

/** The node_modules folder of each side that runs in the browser. */
type Libraries = Readonly<Record<Exclude<Side, "own">, string>>;

const folder = await mkdtemp(join(tmpdir(), "clp-dd-web-"));
const file = (name: string): string => join(folder, name);
const notes: string[] = [];
const rows: WebRow[] = [];
const used: Partial<Record<Side, number>> = {};
const versions: Record<string, string> = {};
const peers = new Map<Side, Peer>();
try {
  const modules = webPeers();
  if (modules === undefined) throw new Error("the JavaScript peers are not installed (bench/peers/setup)");
  const source = options.model === embedded ? embedded : exportedModel(options.model, size);
  const encoder = await createEncoder(nodeRuntime({ threads }), await loadEncoderModel(source, { size }));
  const ownModules = join(dirname(createRequire(import.meta.url).resolve("onnxruntime-web")), "..", "..");
  const libraries: Libraries = { ort: ownModules, tfjs: modules, jax: modules };
  for (const batch of options.batches.split(",").map(Number)) {
    await measureBatch(encoder, libraries, batch);
  }
} finally {
  for (const peer of peers.values()) await peer.end();
  await rm(folder, { recursive: true, force: true });
}

async function measureBatch(encoder: Encoder, libraries: Libraries, batch: number): Promise<void> {
  const random = seededRandom(0, "web peers");
  const images = Float32Array.from({ length: batch * 3 * size * size }, () => random.uniform());
  const cotangent = Float32Array.from({ length: batch * encoder.featureSize }, () => random.normal());
  const loaded = await loadPeers(encoder, libraries, batch, images, cotangent);

  const runtime = nodeRuntime({ threads });
  const plan = await encoder.plan(batch);
  const alone = await featuresSession(runtime, plan);
  const chunked = await createChunkedEncoder(runtime, encoder, batch, 1, 2 ** 50, {
    batch,
    activations: "save",
  });
  const own: Readonly<Record<Mode, () => Promise<Float32Array[]>>> = {
    features: async () => {
      const found = await alone.run({ [imagesInput]: new Tensor("float32", images, [batch, 3, size, size]) });
      return [found[featuresOutput].data as Float32Array];
    },
    step: async () => {
      const features = await chunked.features(0, images);
      return [features.slice(), await chunked.pullback(0, images, cotangent.slice())];
    },
  };
  for (const mode of modes) {
    const known = rows.find((row) => row.mode === mode);
    const asked: Partial<Record<Side, Timed>> = { own: () => elapsed(own[mode]) };
    const exact = await own[mode]();
    const differences: Partial<Record<Side, number>> = {};
    let round = 0;
    for (const [side, peer] of loaded) {
      // What does not run the first batch does not run a larger one.
      if (known !== undefined && known.ms[side] === undefined) continue;
      try {
        // The first run compiles; the second says how long a round will be.
        await ask(side, peer, "save", { mode });
        differences[side] = await difference(mode, exact);
        round += await ask<number>(side, peer, "run", { mode });
        asked[side] = () => peer.ask<number>("run", { mode });
      } catch (error) {
        loaded.delete(side);
        notes.push(`${sides[side]} was not run (batch ${batch}, ${mode}): ${messageOf(error)}`);
      }
    }
    const times = await inTurn(asked as Record<Side, Timed>, {
      warmUp: 0,
      least: round > longRound ? 1 : 2,
      seconds: Number(options.seconds),
    });
    const ms = Object.fromEntries(Object.entries(times).map(([side, list]) => [side, median(list)]));
    rows.push({ batch, mode, rounds: times.own.length, ms, differences });
    process.stderr.write(`  ${options.model} ${size} px, batch ${batch}, ${mode}: done\n`);
    print();
  }
  await alone.release();
  await chunked.release();
}

/** Gives every peer the model at this batch; those that do not take it are noted and left out. */
async function loadPeers(
  encoder: Encoder,
  libraries: Libraries,
  batch: number,
  images: Float32Array,
  cotangent: Float32Array,
): Promise<Map<Side, Peer>> {
  const plan = await encoder.plan(batch);
  const files = {
    images: file("images.f32"),
    cotangent: file("cotangent.f32"),
    features: file("features.f32"),
    gradient: file("gradient.f32"),
  };
  await writeFile(files.images, images);
  await writeFile(files.cotangent, cotangent);
  await writeFile(file("portable.onnx"), writeOnnx(portable(plan.plain)).model);
  await writeFile(file("plain.onnx"), writeOnnx(plan.plain).model);
  await writeFile(file("joint.onnx"), writeOnnx(plan.joint).model);
  const loaded = new Map<Side, Peer>();
  for (const [side, modules] of Object.entries(libraries) as [keyof Libraries, string][]) {
    const peer = peers.get(side) ?? Peer.browser(`${side}.js`, modules);
    peers.set(side, peer);
    try {
      const answer = await ask<{ threads: number }>(side, peer, "load", {
        threads,
        input: imagesInput,
        output: featuresOutput,
        dims: [batch, 3, size, size],
        featureDims: [batch, encoder.featureSize],
        joint: { cotangent: plan.cotangents[0], gradient: plan.gradients[0] },
        files: {
          ...files,
          model: file(side === "ort" ? "plain.onnx" : "portable.onnx"),
          joint: file("joint.onnx"),
        },
      });
      used[side] = answer.threads;
      versions[sides[side]] = await versionOf(side, modules);
      versions.browser = await ask<string>(side, peer, "browser", {});
      loaded.set(side, peer);
    } catch (error) {
      notes.push(`${sides[side]} was not run (batch ${batch}): ${messageOf(error)}`);
    }
  }
  return loaded;
}

/**
 * The peer's answer. A peer that fails or is late is ended, since its workers may continue; the next batch starts it anew.
 */
async function ask<T>(side: Side, peer: Peer, call: string, args: object): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${patience} s`)), 1000 * patience);
  });
  try {
    return await Promise.race([peer.ask<T>(call, args), late]);
  } catch (error) {
    peers.delete(side);
    await peer.end();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** ‖theirs − ours‖ / ‖ours‖ of the features, or of a step's gradient, which a peer has saved. */
async function difference(mode: Mode, ours: readonly Float32Array[]): Promise<number> {
  const theirs = await floats(file(mode === "step" ? "gradient.f32" : "features.f32"));
  return relativeError(theirs, ours.at(-1)!);
}

async function versionOf(side: keyof Libraries, modules: string): Promise<string> {
  const packages = { ort: "onnxruntime-web", tfjs: "@tensorflow/tfjs-backend-wasm", jax: "@jax-js/jax" };
  const { version } = JSON.parse(await readFile(join(modules, packages[side], "package.json"), "utf8"));
  return version;
}

async function floats(path: string): Promise<Float32Array> {
  const bytes = await readFile(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function print(): void {
  const result: WebPeers = { model: options.model, size, versions, threads: used, notes, rows };
  console.log(JSON.stringify(result));
}
