import { basename } from "node:path";
import { ModelError, messageOf } from "../../errors.ts";
import { sha256OfFiles } from "../../files/hash.ts";
import { readRegular } from "../../files/regular-file.ts";
import { mostSide, Preprocessing } from "../../images/preprocess.ts";
import { externalReader } from "../../onnx-vjp/graph/external.ts";
import { readOnnx } from "../../onnx-vjp/graph/read.ts";
import { declaredSize } from "../image-input.ts";
import type { EncoderModel } from "../model.ts";
import { givenForm, type ModelForm } from "../model-form.ts";

/** ImageNet's usual statistics, assumed for an .onnx file that says nothing of its own. */
const imagenetMean = [0.485, 0.456, 0.406] as const;
const imagenetStd = [0.229, 0.224, 0.225] as const;

/** Side of the images of a model that leaves it open. */
const openSize = 224;

/**
 * Reads an .onnx file and the external data beside it. Its preprocessing is what the input's size allows to assume:
 * resized to it, with ImageNet's mean and deviation.
 * @throws ModelError when it is not there or no ONNX model
 */
export async function readOnnxFile(path: string, id: string, form: ModelForm = {}): Promise<EncoderModel> {
  let bytes: Uint8Array;
  try {
    bytes = await readRegular(path);
  } catch (error) {
    throw new ModelError(`${path} cannot be read (${messageOf(error)}). Expected an .onnx file.`, {
      cause: error,
    });
  }
  const external = new Set<string>();
  const graph = await readOnnx(bytes, basename(path), externalReader(path, external));
  const sha256 = await sha256OfFiles(path, ...[...external].sort());
  const { height = openSize, width = openSize } = declaredSize(graph, form);
  if (height > mostSide || width > mostSide) {
    throw new ModelError(
      `${path} takes images of ${height} × ${width} pixels. Expected at most ${mostSide} on a side: the file is damaged, or ` +
        "no model of images.",
    );
  }
  return {
    provenance: { id, sha256 },
    graph,
    ...givenForm(form),
    preprocessing: Preprocessing.parse({
      resize: height === width ? height : [height, width],
      crop: [height, width],
      interpolation: "bicubic",
      mean: imagenetMean,
      std: imagenetStd,
    }),
  };
}
