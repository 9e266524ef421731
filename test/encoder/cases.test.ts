import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { type LoadOptions, loadEncoderModel } from "../../src/encoder/load/load.ts";
import { ModelError } from "../../src/errors.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { inspectEncoderModel } from "../../src/jobs/inspect.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { relativeError } from "../support/check-rule.ts";

const folder = fileURLToPath(new URL("../fixtures/cases", import.meta.url));
const runtime = nodeRuntime({ threads: 1 });

/** A model as people really have it: how it is opened, and what is right (tools/README.md). */
interface Case {
  readonly note: string;
  readonly options: LoadOptions;
  readonly bounds: { readonly features: number; readonly gradient: number };
  /** A pattern of the message, where the model is refused. */
  readonly refused?: string;
}

// Cases of weights and of preprocessing have their own tests.
const models = readdirSync(folder).filter((name) => existsSync(join(folder, name, "model.onnx")));
const described = models.filter((name) => existsSync(join(folder, name, "case.json")));
const cases = described.map((name) => {
  const text = readFileSync(join(folder, name, "case.json"), "utf8");
  return [name, JSON.parse(text) as Case] as const;
});

/** Images in [0, 1], and features, cotangent and gradient that were computed in float64. */
async function expectedOf(name: string) {
  const file = await openSafetensors(join(folder, name, "expected.safetensors"));
  const [count, , side] = file.tensors.get("images")!.shape as [number, number, number];
  const [images, features, cotangent, gradient] = await Promise.all(
    ["images", "features", "cotangent", "gradient"].map((tensor) => file.floats(tensor)),
  );
  await file.close();
  return {
    count,
    side,
    features: features!,
    gradient: gradient!,
    images: Float32Array.from(images!),
    cotangent: Float32Array.from(cotangent!),
  };
}

const path = (name: string): string => join(folder, name, "model.onnx");

describe("models as people have them give the right features and gradients", () => {
  const right = cases.filter(([, { refused }]) => refused === undefined);
  it.each(right)("%s: $note", async (name, { options, bounds }) => {
    const expected = await expectedOf(name);
    const { images, count, side } = expected;
    const model = await loadEncoderModel(path(name), { size: side, ...options });
    const encoder = await createEncoder(runtime, model);
    const features = await encoder.features(images, count);
    expect(relativeError(features, expected.features)).toBeLessThan(bounds.features);
    await encoder.release();

    const chunked = await createChunkedEncoder(runtime, encoder, count, 1, 2 ** 30, { batch: count });
    await chunked.features(0, images);
    const gradient = await chunked.pullback(0, images, expected.cotangent);
    await chunked.release();
    expect(relativeError(gradient, expected.gradient)).toBeLessThan(bounds.gradient);
  });
});

describe("models that cannot be used are refused in a sentence that says what to do", () => {
  const wrong = cases.filter(([, { refused }]) => refused !== undefined);
  it.each(wrong)("%s: $note", async (name, { options, refused }) => {
    const opened = loadEncoderModel(path(name), options).then((model) => createEncoder(runtime, model));
    await expect(opened).rejects.toThrow(ModelError);
    await expect(opened).rejects.toThrow(new RegExp(refused!, "s"));
  });
});

const exportedFolder = fileURLToPath(new URL("../fixtures/models", import.meta.url));

/** Every model among the fixtures, with what it is opened with. */
function everyModel(): (readonly [string, string, LoadOptions])[] {
  const own = cases.map(([name, { options }]) => [name, path(name), { size: 32, ...options }] as const);
  const others = models.filter((name) => !described.includes(name));
  const exported = readdirSync(exportedFolder).map((name) => {
    const text = readFileSync(join(exportedFolder, name, "meta.json"), "utf8");
    const { inputShape } = JSON.parse(text) as { inputShape: [number, number, number, number] };
    const options = inputShape[2] === inputShape[3] ? { size: inputShape[2] } : {};
    return [name, join(exportedFolder, name, "model.onnx"), options] as const;
  });
  return [...own, ...others.map((name) => [name, path(name), {}] as const), ...exported];
}

/** The message of the ModelError that `run` ends with; undefined where it does not. */
async function refusalOf(run: () => Promise<void>): Promise<string | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (error instanceof ModelError) return error.message;
    throw error;
  }
}

describe("a model that is inspected as differentiable gives features and gradients, and no other does", () => {
  it.each(everyModel())("%s", async (_, file, options) => {
    const inspected = await refusalOf(async () => {
      const { candidates } = await inspectEncoderModel(runtime, await loadEncoderModel(file, options));
      const [missing] = candidates.filter(({ chosen }) => chosen).map((candidate) => candidate.missing);
      if (missing!.length > 0) throw new ModelError(missing!.join(", "));
    });
    const happened = await refusalOf(async () => {
      const encoder = await createEncoder(runtime, await loadEncoderModel(file, options));
      const [height, width] = encoder.preprocessing.crop;
      const count = encoder.fixedBatch ?? 1;
      const pixels = new Float32Array(count * 3 * height * width).fill(0.5);
      await encoder.features(pixels, count);
      await encoder.release();
      const chunked = await createChunkedEncoder(runtime, encoder, count, 1, 2 ** 30);
      await chunked.features(0, pixels);
      await chunked.pullback(0, pixels, new Float32Array(count * encoder.featureSize).fill(1));
      await chunked.release();
    });
    expect(inspected === undefined, inspected).toBe(happened === undefined);
  });
});
