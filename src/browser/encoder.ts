import { createEncoder, type Encoder } from "../encoder/encoder.ts";
import { ModelCard, onnxModel, withCard } from "../encoder/load/onnx-model.ts";
import { type PixelImage, rgbOfPixels } from "../images/pixels.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import { readOnnx } from "../onnx-vjp/graph/read-onnx.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { sha256 } from "./sha256.ts";

/** An encoder as a page has it. */
export interface EncoderFile {
  /** What it is called in manifests. The embedded one has its name, which the command line knows too. */
  readonly id: string;
  /** The bytes of an .onnx file. */
  readonly bytes: Uint8Array;
  /** The parsed JSON of the description beside it, where there is one. */
  readonly card?: unknown;
  /** Side of the images that it sees. */
  readonly size?: number;
  /** Shorter edge before the crop, instead of the encoder's own ratio. */
  readonly resize?: number;
  readonly feature?: string;
}

/**
 * Prepares an encoder of an .onnx file's bytes, as `loadEncoder` does with the file.
 * @throws ModelError when it is not a model that takes images
 */
export async function openEncoderFile(runtime: Runtime, file: EncoderFile): Promise<Encoder> {
  const { id, bytes, card, feature, size, resize } = file;
  const graph = await readOnnx(bytes, id);
  const model = onnxModel(graph, { id, sha256: await sha256(bytes) });
  const options = {
    ...(feature === undefined ? {} : { feature }),
    ...(size === undefined ? {} : { size }),
    ...(resize === undefined ? {} : { resize }),
  };
  return createEncoder(runtime, withCard(model, ModelCard.safeParse(card).data, options), {
    // Images come one by one, and places that are left empty in a call take as long as others.
    batch: 1,
  });
}

/**
 * Pixels as an encoder's input: resized and cropped as files are on the command line, planar 8-bit RGB, n × 3 × H × W.
 * @throws DataError naming an image by its index, for data of another size
 */
export function pixelInput(images: readonly PixelImage[], preprocessing: Preprocessing): Uint8Array {
  const size = inputBytes(preprocessing);
  const out = new Uint8Array(images.length * size);
  for (const [i, image] of images.entries()) {
    preprocess(rgbOfPixels(image, i), preprocessing, out.subarray(i * size, (i + 1) * size));
  }
  return out;
}
