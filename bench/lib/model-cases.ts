import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createChunkedEncoder } from "../../src/encoder/chunks.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { type LoadOptions, loadEncoderModel } from "../../src/encoder/load/load.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import type { DerivativeErrors } from "./derivative-errors.ts";
import { relativeError } from "./measure.ts";

/** A model as people really have it: how it is opened, and what is right (tools/README.md). */
export interface ModelCase {
  readonly name: string;
  /** The model's file. */
  readonly file: string;
  readonly note: string;
  readonly options: LoadOptions;
  readonly bounds: DerivativeErrors;
  /** A pattern of the message, where the model is refused. */
  readonly refused?: string;
}

/** The ONNX models among the cases of a folder; weights and preprocessing have their own tests. */
export function modelCases(folder: string): ModelCase[] {
  return readdirSync(folder).flatMap((name) => {
    const [file, description] = ["model.onnx", "case.json"].map((part) => join(folder, name, part));
    if (!existsSync(file) || !existsSync(description)) return [];
    const read = JSON.parse(readFileSync(description, "utf8")) as Omit<ModelCase, "name" | "file">;
    return [{ ...read, name, file }];
  });
}

/** The folder of the committed cases, from the compiled benchmarks and from the tests alike. */
export const caseFolder = ["../../test/fixtures/cases", "../../../test/fixtures/cases"]
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find(existsSync)!;

/** Errors of a case's features and pixel gradients, opened as a user opens it, against float64 references. */
export async function modelCaseErrors(
  runtime: Runtime,
  { file, options }: ModelCase,
): Promise<DerivativeErrors> {
  const expected = await openSafetensors(join(file, "..", "expected.safetensors"));
  const [count, , side] = expected.tensors.get("images")!.shape;
  const images = await expected.float32("images");
  const [features, gradient] = await Promise.all([expected.floats("features"), expected.floats("gradient")]);
  const cotangent = await expected.float32("cotangent");
  await expected.close();
  const encoder = await createEncoder(runtime, await loadEncoderModel(file, { size: side, ...options }));
  const value = await encoder.features(images, count);
  const chunked = await createChunkedEncoder(runtime, encoder, count, 1, 2 ** 30, { batch: count });
  await chunked.features(0, images);
  const pulled = await chunked.pullback(0, images, cotangent);
  await chunked.release();
  await encoder.release();
  return { features: relativeError(value, features), gradient: relativeError(pulled, gradient) };
}
