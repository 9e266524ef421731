import { sha256OfFiles } from "../../files/hash.ts";
import { imageStatistics } from "../../images/image-statistics.ts";
import { Preprocessing } from "../../images/preprocess.ts";
import { readModelFile } from "../../onnx-vjp/graph/model-file.ts";
import type { EncoderModel } from "../encoder-model.ts";
import { declaredSize } from "../image-input.ts";
import { givenForm, type ModelForm } from "../model-form.ts";

/** Side of the images of a model that leaves it open. */
const openSize = 224;

/**
 * Reads an .onnx file and the external data beside it. Its preprocessing is what the input's size allows to assume:
 * resized to it, with ImageNet's mean and standard deviation.
 * @throws ModelError when it is not there or is not an ONNX model
 */
export async function readOnnxFile(path: string, id: string, form: ModelForm = {}): Promise<EncoderModel> {
  const { graph, external } = await readModelFile(path);
  const sha256 = await sha256OfFiles(path, ...[...external].sort());
  const { height = openSize, width = openSize } = declaredSize(graph, form);
  return {
    provenance: { id, sha256 },
    graph,
    ...givenForm(form),
    preprocessing: Preprocessing.parse({
      resize: height === width ? height : [height, width],
      crop: [height, width],
      interpolation: "bicubic",
      ...imageStatistics.imagenet,
    }),
  };
}
