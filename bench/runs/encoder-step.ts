/**
 * Features and pixel gradient of a frozen encoder with random weights, against PyTorch with the same weights, in
 * one run, in turn: medians, ratios, and the share of the machine's own matrix-product rate.
 *
 *   node encoder-step.js --model vit-s16 [--size 224] [--batches 1,8,32] [--compile 8] [--threads 2]
 *                        [--seconds 8] [--device cpu|cuda|webgpu] [--precision float32|float16]
 *                        [--dtype float32|tf32|bfloat16|float16]
 *
 * `--precision` is ours, `--dtype` PyTorch's: on a GPU its tf32 is float32 with products that the GPU's units for
 * matrices round, as ONNX Runtime has them unless NVIDIA_TF32_OVERRIDE=0.
 *
 * The model comes from PyTorch (bench/peers/models.py) by export; without the peers an own model is measured
 * where there is one (the embedded EfficientNet-Lite0). Ends with one line of JSON: `EncoderStep`; with `--early`
 * there is such a line whenever more is known, for a caller whose time may be up.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { featuresOutput, imagesInput } from "../../src/encoder/batched-features.ts";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { chunkSize } from "../../src/encoder/images-per-call.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { messageOf } from "../../src/errors.ts";
import type { Activations } from "../../src/onnx-vjp/compile/differentiable.ts";
import { GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { int, sizeOf } from "../../src/onnx-vjp/graph/ir.ts";
import type { Device, Precision, Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { seededRandom } from "../../src/random.ts";
import { featuresSession } from "../lib/features-session.ts";
import { countFlops } from "../lib/flops.ts";
import { elapsed, inTurn, leastError, median, relativeError, type Timed } from "../lib/measure.ts";
import { exportedModel, Peer, peerPython } from "../lib/peer.ts";

/** One batch size; milliseconds are medians. */
export interface EncoderRow {
  readonly batch: number;
  readonly rounds: number;
  readonly features: Compared;
  readonly step: Compared;
}

export interface Compared {
  readonly ms: number;
  /** Products' and convolutions' FLOP over time, over the machine's product rate in the same rounds. */
  readonly shareOfPeak: number;
  /** PyTorch's times by way of running it; undefined where there are no peers. */
  readonly peer?: { readonly eager: number; readonly compiled?: number };
  /** The better of PyTorch's over ours: above 1, we are faster. */
  readonly ratio?: number;
}

export interface EncoderStep {
  readonly model: string;
  readonly size: number;
  readonly device: string;
  readonly dtype: string;
  readonly precision: string;
  readonly activations: Activations;
  readonly versions: Readonly<Record<string, string>>;
  readonly peakGflops: number;
  /** PyTorch's rate of the same products on the CPU. */
  readonly peerPeakGflops?: number;
  readonly savedBytesAnImage: number;
  /** Of the largest batch on a GPU: taking its images there twice and their gradient back once. */
  readonly copiesMs?: number;
  /** ‖ours − PyTorch's‖ / ‖PyTorch's‖; of the gradient in the image where it is least. */
  readonly agreement?: { readonly features: number; readonly gradient: number };
  readonly compileSeconds?: number;
  readonly notes: readonly string[];
  readonly rows: readonly EncoderRow[];
}

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-s16" },
    size: { type: "string", default: "224" },
    batches: { type: "string", default: "1,8,32" },
    compile: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
    seconds: { type: "string", default: "8" },
    device: { type: "string", default: "cpu" },
    dtype: { type: "string", default: "float32" },
    precision: { type: "string", default: "float32" },
    early: { type: "boolean", default: false },
  },
});
const numbers = (list: string): number[] => list.split(",").filter(Boolean).map(Number);

/** The largest batch whose numbers are compared with PyTorch's. */
const mostCompared = 8;
/** The products whose rate is the machine's peak: large enough to reach it. */
const productSide = 1024;
const productRepeats = 4;
const cardSide = 4096;
const cardRepeats = 10;
/** A round that takes longer than this, in milliseconds, is run once, and not warmed up. */
const longRound = 15_000;

const size = Number(options.size);
const threads = Number(options.threads);
const batches = numbers(options.batches);
const most = Math.max(...batches);
const device = options.device as Device;
const folder = await mkdtemp(join(tmpdir(), "clp-dd-encoder-"));
const notes: string[] = [];
let peer: Peer | undefined;
try {
  const runtime = nodeRuntime({ threads, device });
  let file = options.model;
  let versions: Record<string, string> = {};
  if (peerPython() !== undefined) {
    file = exportedModel(options.model, size);
    peer = Peer.python("encoder_step.py");
    try {
      const at = device === "cpu" ? "cpu" : "cuda";
      versions = await peer.ask("load", {
        name: options.model,
        size,
        threads,
        device: at,
        dtype: options.dtype,
      });
    } catch (error) {
      notes.push(`PyTorch was not run: ${messageOf(error)}`);
      await peer.end();
      peer = undefined;
    }
  } else notes.push("the peers are not installed (bench/peers/setup)");
  const model = await loadEncoderModel(file, { size });
  const precision = options.precision as Precision;
  const encoder = await createEncoder(runtime, model, { precision });
  const d = encoder.featureSize;
  const random = seededRandom(0, "encoder bench");
  const pixels = 3 * size * size;
  const images = Float32Array.from({ length: most * pixels }, () => random.uniform());
  const cotangent = Float32Array.from({ length: most * d }, () => random.normal());
  const imagesFile = join(folder, "images.f32");
  const cotangentFile = join(folder, "cotangent.f32");
  await writeFile(imagesFile, images);
  const ofCard = peer && device !== "cpu" ? productByPeer(peer, cardSide, cardRepeats, precision) : undefined;
  const product = ofCard ?? (await matrixProduct(runtime));
  const peerProduct = peer && device === "cpu" ? productByPeer(peer, productSide, productRepeats) : undefined;

  const rows: EncoderRow[] = [];
  const peaks: number[] = [];
  const peerPeaks: number[] = [];
  let savedBytesAnImage = 0;
  let agreement: EncoderStep["agreement"];
  let compileSeconds: number | undefined;
  let activations: Activations = "save";
  let copiesMs: number | undefined;
  const print = (): void => {
    const result: EncoderStep = {
      model: options.model,
      size,
      device,
      dtype: options.dtype,
      precision,
      activations,
      versions,
      savedBytesAnImage,
      ...(copiesMs === undefined ? {} : { copiesMs }),
      ...(agreement ? { agreement } : {}),
      ...(compileSeconds === undefined ? {} : { compileSeconds }),
      ...(peerPeaks.length > 0 ? { peerPeakGflops: median(peerPeaks) } : {}),
      peakGflops: median(peaks),
      notes,
      rows: [...rows].sort((a, b) => a.batch - b.batch),
    };
    console.log(JSON.stringify(result));
  };
  const callSize = (batch: number) => chunkSize(batch, encoder.imagesACall);
  // Batches that are cut into chunks of the same size share their sessions.
  const chunks = new Map<number, number>();
  for (const batch of batches) {
    const at = callSize(batch);
    chunks.set(at, Math.max(chunks.get(at) ?? 0, batch));
  }
  for (const [at, largest] of chunks) {
    const plan = await encoder.plan(at);
    const flops = countFlops(plan.plain, [imagesInput], [featuresOutput]);
    const alone = await featuresSession(runtime, plan, precision);
    const chunked = await createChunkedEncoder(runtime, encoder, largest, 1, 2 ** 50, { batch: at });
    activations = chunked.plan.activations;
    savedBytesAnImage = plan.savedBytes / at;
    const part = (i: number) => images.subarray(i * at * pixels, (i + 1) * at * pixels);
    for (const batch of batches.filter((b) => callSize(b) === at)) {
      const count = Math.ceil(batch / at);
      const featuresOnly = async () => {
        for (let i = 0; i < count; i++) {
          await alone.run({ [imagesInput]: new Tensor("float32", part(i), [at, 3, size, size]) });
        }
      };
      const gradient = new Float32Array(count * at * pixels);
      const features = new Float32Array(count * at * d);
      const step = async () => {
        for (let i = 0; i < count; i++) features.set(await chunked.features(i, part(i)), i * at * d);
        for (let i = 0; i < count; i++) {
          await chunked.pullback(
            i,
            part(i),
            cotangent.slice(i * at * d, (i + 1) * at * d),
            gradient.subarray(i * at * pixels, (i + 1) * at * pixels),
          );
        }
      };
      const variants: ("eager" | "compiled")[] = [];
      if (peer !== undefined) {
        await writeFile(cotangentFile, cotangent.subarray(0, batch * d));
        await peer.ask("data", { batch, images: imagesFile, cotangent: cotangentFile });
        variants.push("eager");
      }
      const sides = (mode: "features" | "step", ours: () => Promise<void>): Record<string, Timed> => ({
        ours: () => elapsed(ours),
        ...Object.fromEntries(
          variants.map((variant) => [variant, () => peer!.ask<number>("run", { variant, mode })] as const),
        ),
        product: product.time,
        ...(peerProduct === undefined ? {} : { peerProduct: peerProduct.time }),
      });
      const known = rows.find((row) => row.batch < batch && callSize(row.batch) === at);
      const compare = async (mode: "features" | "step", ours: () => Promise<void>) => {
        const long = known !== undefined && ((2 * batch) / known.batch) * known[mode].ms > longRound;
        const turns = { least: long ? 1 : 2, warmUp: known === undefined ? 1 : 0 };
        const times = await inTurn(sides(mode, ours), { ...turns, seconds: Number(options.seconds) });
        const ms = median(times.ours!);
        const peak = product.flops / median(times.product!) / 1e6;
        peaks.push(peak);
        if (peerProduct) peerPeaks.push(peerProduct.flops / median(times.peerProduct!) / 1e6);
        // The work that the result takes: what is computed twice for want of memory is not counted twice.
        const work = count * (mode === "step" ? flops.forward + flops.pullback : flops.forward);
        const eager = times.eager && median(times.eager);
        const compiled = times.compiled && median(times.compiled);
        const compared: Compared = {
          ms,
          shareOfPeak: work / ms / 1e6 / peak,
          ...(eager === undefined
            ? {}
            : {
                peer: { eager, ...(compiled === undefined ? {} : { compiled }) },
                ratio: Math.min(eager, compiled ?? eager) / ms,
              }),
        };
        return { compared, rounds: times.ours!.length };
      };
      const measureRow = async (): Promise<EncoderRow> => {
        const whole = await compare("step", step);
        const only = await compare("features", featuresOnly);
        return { batch, rounds: whole.rounds, features: only.compared, step: whole.compared };
      };
      const compiling = peer !== undefined && numbers(options.compile).includes(batch);
      if (!compiling || options.early) rows.push(await measureRow());
      if (peer !== undefined && batch === Math.max(...batches.filter((b) => b <= mostCompared))) {
        const [f, g] = [join(folder, "features.f32"), join(folder, "gradient.f32")];
        await peer.ask("save", { features: f, gradient: g });
        await step();
        agreement = {
          features: relativeError(features.subarray(0, batch * d), await floats(f)),
          gradient: leastError(gradient.subarray(0, batch * pixels), await floats(g), batch),
        };
      }
      if (compiling) {
        if (options.early) print();
        try {
          compileSeconds = await peer!.ask<number>("compile");
          variants.push("compiled");
        } catch (error) {
          notes.push(`torch.compile was not run: ${messageOf(error)}`);
        }
        if (options.early) rows.pop();
        rows.push(await measureRow());
      }
      if (options.early) print();
      process.stderr.write(`  ${options.model} ${size} px, batch ${batch}: done\n`);
    }
    await alone.release();
    await chunked.release();
  }
  if (device !== "cpu") copiesMs = await copies(runtime, [most, 3, size, size]);
  if (!options.early) print();
} finally {
  await peer?.end();
  await rm(folder, { recursive: true, force: true });
}

async function floats(file: string): Promise<Float32Array> {
  const bytes = await readFile(file);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Milliseconds that a batch of `dims` takes to a GPU twice and back once, as in a step that computes again. */
async function copies(runtime: Runtime, dims: number[]): Promise<number> {
  const b = new GraphBuilder();
  const x = b.input("x", dims);
  const least = b.input("least", [1, 1, 1, 1]);
  b.output(b.op("Mul", [x, least]), { dims });
  const there = new GraphBuilder();
  there.output(there.op("ReduceMax", [there.input("x", dims)], { keepdims: int(0) }), { dims: [] });
  const [both, one] = [await runtime.session(b.graph), await runtime.session(there.graph)];
  const images = { x: new Tensor("float32", new Float32Array(sizeOf(dims)), dims) };
  const unit = { least: new Tensor("float32", Float32Array.of(1), [1, 1, 1, 1]) };
  const times: number[] = [];
  for (let i = 0; i < 12; i++) {
    times.push(
      await elapsed(async () => {
        await both.run({ ...images, ...unit });
        await one.run(images);
      }),
    );
  }
  await both.release();
  await one.release();
  return median(times.slice(2));
}

/** Products by PyTorch, on its device. */
function productByPeer(
  peer: Peer,
  size: number,
  repeats: number,
  dtype: Precision = "float32",
): { flops: number; time: Timed } {
  return {
    flops: repeats * 2 * size ** 3,
    time: () => peer.ask<number>("product", { size, repeats, dtype }),
  };
}

/** The machine's own rate of single-precision products, by ONNX Runtime. */
async function matrixProduct(runtime: Runtime): Promise<{ flops: number; time: Timed }> {
  const n = productSide;
  const b = new GraphBuilder();
  b.output(b.op("MatMul", [b.input("a", [n, n]), b.floats([n, n], draw(n * n))]), { dims: [n, n] });
  const session = await runtime.session(b.graph);
  const feeds = { a: new Tensor("float32", draw(n * n), [n, n]) };
  // A fresh array for each result takes about a tenth of the time (docs/notes/performance.md).
  const [result] = session.graph.outputs;
  const into = { [result!]: new Tensor("float32", new Float32Array(n * n), [n, n]) };
  const repeats = productRepeats;
  return {
    flops: repeats * 2 * n ** 3,
    time: () =>
      elapsed(async () => {
        for (let i = 0; i < repeats; i++) await session.run(feeds, { into });
      }),
  };
}

function draw(count: number): Float32Array {
  const random = seededRandom(0, "matrix product");
  return Float32Array.from({ length: count }, () => random.uniform() - 0.5);
}
