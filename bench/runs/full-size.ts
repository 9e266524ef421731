/**
 * Encoders of the published sizes with random weights: Vision Transformers built from the safetensors files that
 * PyTorch's libraries saved, and networks exported to ONNX. Features and pixel gradients against PyTorch in float64,
 * and times beside PyTorch's, in turn.
 *
 *   node full-size.js [--models clip-vit-b-16,resnet50@dynamo18,…] [--batch 1] [--threads 2] [--seconds 10]
 *
 * `@torchscript17` or `@dynamo18` exports by that exporter in that operator set. Errors are
 * ‖ours − reference‖ / ‖reference‖, of gradients in the image where it is least; beside them PyTorch's own in float32. Times are medians. Needs the
 * Python peers (bench/peers/setup). Ends with one line of JSON: {models: FullSize[]}.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Tensor } from "onnxruntime-common";
import { formatTable } from "../../src/cli/table.ts";
import { imagesInput } from "../../src/encoder/batched-features.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import { loadEncoderModel } from "../../src/encoder/load/load.ts";
import { loadTransformerFolder } from "../../src/encoder/vit/load-vit.ts";
import type { Preprocessing } from "../../src/images/preprocess.ts";
import { compileDerivative } from "../../src/onnx-vjp/compile/differentiable.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { featuresSession } from "../lib/features-session.ts";
import { fullSizeFamilies } from "../lib/full-size-families.ts";
import { elapsed, inTurn, leastError, median, relativeError } from "../lib/measure.ts";
import { Peer, peerPython } from "../lib/peer.ts";

interface Errors {
  readonly features: number;
  readonly gradient: number;
}

export interface FullSize {
  readonly model: string;
  readonly featureSize: number;
  readonly errors: Errors;
  /** PyTorch's own in float32, against the same reference. */
  readonly peerErrors: Errors;
  /** Milliseconds, of features alone and of features with the pixel gradient. */
  readonly ms: Errors;
  readonly peerMs: Errors;
  readonly loadSeconds: number;
  readonly versions: Readonly<Record<string, string>>;
}

const { values: options } = parseArgs({
  options: {
    models: { type: "string", default: fullSizeFamilies.join(",") },
    batch: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    seconds: { type: "string", default: "10" },
  },
});
const batch = Number(options.batch);
const threads = Number(options.threads);
const size = 224;

// The images are normalized already.
const preprocessing: Pick<Preprocessing, "crop" | "mean" | "std"> = {
  crop: [size, size],
  mean: [0, 0, 0],
  std: [1, 1, 1],
};

async function measure(model: string): Promise<FullSize> {
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-full-size-"));
  const peer = Peer.python("full_size.py");
  const runtime = nodeRuntime({ threads });
  try {
    const [name, exporter, opset] = /^([^@]+)(?:@([a-z]+)([0-9]+))?$/.exec(model)!.slice(1);
    const versions = await (exporter === undefined
      ? peer.ask<Record<string, string>>("load", { name, folder, threads })
      : peer.ask<Record<string, string>>("load_export", {
          name,
          exporter,
          opset: Number(opset),
          folder,
          threads,
          size,
        }));
    const peerErrors = await peer.ask<Errors>("reference", { batch, size, folder });
    const floats = async (name: string) => {
      const bytes = await readFile(join(folder, `${name}.bin`));
      return new Float32Array(new Uint8Array(bytes).buffer);
    };
    const start = performance.now();
    const encoder = await createEncoder(
      runtime,
      exporter === undefined
        ? await loadTransformerFolder(folder, { preprocessing })
        : await exported(join(folder, "model.onnx")),
    );
    const plan = await encoder.plan(batch);
    const alone = await featuresSession(runtime, plan);
    const compiled = await compileDerivative(runtime, plan, "save");
    const loadSeconds = (performance.now() - start) / 1000;
    const feeds = { [imagesInput]: new Tensor("float32", await floats("images"), [batch, 3, size, size]) };
    const cotangent = await floats("cotangent");
    const step = async () => {
      const { value, saved } = await compiled.forward(feeds);
      return { value, gradient: (await compiled.pullback(feeds, saved, cotangent))[imagesInput] };
    };
    const { value, gradient } = await step();
    const errors = {
      features: relativeError(value, await floats("features")),
      gradient: leastError(gradient, await floats("gradient"), batch),
    };
    const times = await inTurn(
      {
        features: () => elapsed(() => alone.run(feeds)),
        peerFeatures: () => peer.ask<number>("run", { mode: "features" }),
        step: () => elapsed(step),
        peerStep: () => peer.ask<number>("run", { mode: "step" }),
      },
      { seconds: Number(options.seconds) },
    );
    await alone.release();
    await compiled.release();
    await encoder.release();
    return {
      model,
      featureSize: encoder.featureSize,
      errors,
      peerErrors,
      ms: { features: median(times.features), gradient: median(times.step) },
      peerMs: { features: median(times.peerFeatures), gradient: median(times.peerStep) },
      loadSeconds,
      versions,
    };
  } finally {
    await peer.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function exported(file: string): Promise<EncoderModel> {
  const model = await loadEncoderModel(file, { size });
  return { ...model, preprocessing: { ...model.preprocessing, ...preprocessing } };
}

if (peerPython() === undefined) {
  console.error("The Python peers are not installed: run bench/peers/setup, or name them with CLP_DD_PEERS.");
  process.exit(1);
}
const models: FullSize[] = [];
for (const name of options.models.split(",").filter(Boolean)) {
  models.push(await measure(name));
  console.error(`${name} done`);
}
const small = (error: number): string => error.toExponential(1);
console.log(
  formatTable(
    ["model", "d", "features", "torch f32", "gradient", "torch f32", "ms", "torch", "step ms", "torch"],
    models.map((m) => [
      m.model,
      `${m.featureSize}`,
      ...[small(m.errors.features), small(m.peerErrors.features)],
      ...[small(m.errors.gradient), small(m.peerErrors.gradient)],
      ...[m.ms.features.toFixed(0), m.peerMs.features.toFixed(0)],
      ...[m.ms.gradient.toFixed(0), m.peerMs.gradient.toFixed(0)],
    ]),
  ),
);
console.log(JSON.stringify({ models }));
