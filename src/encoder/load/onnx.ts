import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { ModelError, messageOf } from "../../errors.ts";
import { sha256OfFiles } from "../../files/hash.ts";
import { externalReader } from "../../onnx-vjp/graph/external.ts";
import { readOnnx } from "../../onnx-vjp/graph/read.ts";
import type { EncoderModel } from "../model.ts";
import type { ModelForm } from "../model-form.ts";
import { onnxModel } from "./onnx-model.ts";

/**
 * Reads an .onnx file and the external data beside it. Its preprocessing is what the input's size allows to assume:
 * resized to it, with ImageNet's mean and deviation.
 * @throws ModelError when it is not there or no ONNX model
 */
export async function readOnnxFile(path: string, id: string, form: ModelForm = {}): Promise<EncoderModel> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new ModelError(`${path} cannot be read (${messageOf(error)}). Expected an .onnx file.`, {
      cause: error,
    });
  }
  const external = new Set<string>();
  const graph = await readOnnx(bytes, basename(path), externalReader(path, external));
  const sha256 = await sha256OfFiles(path, ...[...external].sort());
  return onnxModel(graph, { id, sha256 }, form);
}
