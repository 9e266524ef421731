import { createEncoder, type Encoder } from "../encoder/encoder.ts";
import type { EncoderModel, Provenance } from "../encoder/encoder-model.ts";
import { licenseOfCard } from "../encoder/load/license.ts";
import { type CardOptions, ModelCard, onnxModel, withCard } from "../encoder/load/onnx-model.ts";
import { resized } from "../encoder/load/resized.ts";
import { preprocessingOf, processorOf, type SideFiles } from "../encoder/load/side-files.ts";
import { transformerModel } from "../encoder/vit/transformer-model.ts";
import { readSafetensors } from "../files/safetensors-bytes.ts";
import { type PixelImage, rgbOfPixels } from "../images/pixels.ts";
import { inputBytes, type Preprocessing, preprocess } from "../images/preprocess.ts";
import { readOnnx } from "../onnx-vjp/graph/read-onnx.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { sha256 } from "./sha256.ts";

/** An encoder as a page has it. */
export interface EncoderFile {
  /** What it is called in manifests. The embedded one has its name, which the command line knows too. */
  readonly id: string;
  /** The bytes of an .onnx file, or of `model.safetensors` of a family that is built here. */
  readonly bytes: Uint8Array;
  /** Which of the two; default `onnx`. */
  readonly weights?: "onnx" | "safetensors";
  /** The parsed JSON of the description beside it, where there is one. */
  readonly card?: unknown;
  /** Texts of a repository's small files by name: `config.json`, `preprocessor_config.json`, `README.md`. */
  readonly files?: Readonly<Record<string, string>>;
  /** Where it is from: a repository's address and commit, and its license where the README does not say. */
  readonly from?: Pick<Provenance, "source" | "revision" | "license">;
  /** Side of the images that it sees. */
  readonly size?: number;
  /** Shorter edge before the crop, instead of the encoder's own ratio. */
  readonly resize?: number;
  readonly feature?: string;
}

/**
 * Prepares an encoder of a file's bytes, as `loadEncoder` does with the file.
 * @throws ModelError when it is not a model that takes images
 */
export async function openEncoderFile(runtime: Runtime, file: EncoderFile): Promise<Encoder> {
  const { files = {}, from } = file;
  const read = file.weights === "safetensors" ? transformerOf : networkOf;
  const model = await read(file, sideFiles(file));
  const license = model.provenance.license ?? licenseOfCard(files["README.md"] ?? "") ?? from?.license;
  const provenance = { ...model.provenance, ...from, ...(license === undefined ? {} : { license }) };
  return createEncoder(
    runtime,
    { ...model, provenance },
    {
      // Images come one by one, and places that are left empty in a call take as long as others.
      batch: 1,
    },
  );
}

const sideFiles = ({ id, files = {} }: EncoderFile): SideFiles => ({
  text: async (name) => files[name],
  where: (name) => `${id}: ${name}`,
});

const optionsOf = ({ feature, size, resize }: EncoderFile): CardOptions => ({
  ...(feature === undefined ? {} : { feature }),
  ...(size === undefined ? {} : { size }),
  ...(resize === undefined ? {} : { resize }),
});

async function networkOf(file: EncoderFile, files: SideFiles): Promise<EncoderModel> {
  const { id, bytes } = file;
  const model = onnxModel(await readOnnx(bytes, id), { id, sha256: await sha256(bytes) });
  const card = ModelCard.safeParse(file.card).data;
  const preprocessing = card?.preprocessing ?? (await preprocessingOf(files, model.preprocessing));
  return withCard(model, card, optionsOf(file), preprocessing);
}

async function transformerOf(file: EncoderFile, files: SideFiles): Promise<EncoderModel> {
  const { id, bytes } = file;
  const { feature, ...options } = optionsOf(file);
  const processor = await processorOf(files);
  return transformerModel(
    {
      where: id,
      config: { text: (await files.text("config.json")) ?? "", where: files.where("config.json") },
      weights: [{ where: id, file: readSafetensors(id, bytes) }],
      sha256: () => sha256(bytes),
    },
    {
      id,
      ...(feature === undefined ? {} : { feature }),
      preprocessing: (defaults) => resized(processor?.(defaults) ?? defaults, options),
    },
  );
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
