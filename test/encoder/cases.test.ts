import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { caseFolder, modelCaseErrors, modelCases } from "../../bench/lib/model-cases.ts";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { type LoadOptions, loadEncoderModel } from "../../src/encoder/load/load.ts";
import { ModelError } from "../../src/errors.ts";
import { inspectEncoderModel } from "../../src/jobs/inspect.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const cases = modelCases(caseFolder).map((one) => [one.name, one] as const);

describe("models as people have them give the right features and gradients", () => {
  const right = cases.filter(([, { refused }]) => refused === undefined);
  it.each(right)("%s: $note", async (_, one) => {
    const errors = await modelCaseErrors(runtime, one);
    expect(errors.features).toBeLessThan(one.bounds.features);
    expect(errors.gradient).toBeLessThan(one.bounds.gradient);
  });
});

describe("models that cannot be used are refused in a sentence that says what to do", () => {
  const wrong = cases.filter(([, { refused }]) => refused !== undefined);
  it.each(wrong)("%s: $note", async (_, { file, options, refused }) => {
    const opened = loadEncoderModel(file, options).then((model) => createEncoder(runtime, model));
    await expect(opened).rejects.toThrow(ModelError);
    await expect(opened).rejects.toThrow(new RegExp(refused!, "s"));
  });
});

const exportedFolder = fileURLToPath(new URL("../fixtures/models", import.meta.url));

const path = (name: string): string => join(caseFolder, name, "model.onnx");

/** Every model among the fixtures, with what it is opened with. */
function everyModel(): (readonly [string, string, LoadOptions])[] {
  const own = cases.map(([name, { file, options }]) => [name, file, { size: 32, ...options }] as const);
  const described = new Set(cases.map(([name]) => name));
  const others = readdirSync(caseFolder)
    .filter((name) => !described.has(name) && existsSync(path(name)))
    .map((name) => [name, path(name), {}] as const);
  const exported = readdirSync(exportedFolder).map((name) => {
    const text = readFileSync(join(exportedFolder, name, "meta.json"), "utf8");
    const { inputShape } = JSON.parse(text) as { inputShape: [number, number, number, number] };
    const options = inputShape[2] === inputShape[3] ? { size: inputShape[2] } : {};
    return [name, join(exportedFolder, name, "model.onnx"), options] as const;
  });
  return [...own, ...others, ...exported];
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
