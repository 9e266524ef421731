import { sha256OfFiles } from "../../files/hash.ts";
import { readModelFile } from "../../onnx-vjp/graph/model-file.ts";
import type { EncoderModel } from "../encoder-model.ts";
import type { ModelForm } from "../model-form.ts";
import { onnxModel } from "./onnx-model.ts";

/**
 * Reads an .onnx file and the external data beside it. Its preprocessing is what the input's size allows to assume:
 * resized to it, with ImageNet's mean and standard deviation.
 * @throws ModelError when it is not there or is not an ONNX model
 */
export async function readOnnxFile(path: string, id: string, form: ModelForm = {}): Promise<EncoderModel> {
  const { graph, external } = await readModelFile(path);
  const sha256 = await sha256OfFiles(path, ...[...external].sort());
  return onnxModel(graph, { id, sha256 }, form);
}
