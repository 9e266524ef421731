import { basename, dirname, join } from "node:path";
import { ModelError, messageOf } from "../../errors.ts";
import { textIfThere } from "../../files/regular-file.ts";
import type { EncoderModel } from "../encoder-model.ts";
import type { ModelForm } from "../model-form.ts";
import { isTransformerFolder } from "../vit/folder-files.ts";
import { loadTransformerFolder } from "../vit/load-vit.ts";
import { isKnownConfig } from "../vit/supported.ts";
import { chooseOnnx, type Dtype } from "./choose-onnx.ts";
import { localOnnx } from "./hub-model.ts";
import { licenseOfCard } from "./license.ts";
import { readOnnxFile } from "./onnx.ts";
import { type CardOptions, ModelCard, withCard } from "./onnx-model.ts";
import { resized } from "./resized.ts";
import { preprocessingOf, processorOf, type SideFiles } from "./side-files.ts";

/** How a model is read, whatever holds it. */
export interface ModelOptions extends CardOptions, ModelForm {
  readonly dtype?: Dtype;
}

/**
 * Loads an encoder from a folder: `config.json` and safetensors of a family that is built here, else an ONNX file as
 * transformers.js expects it (`onnx/model.onnx`, `onnx/vision_model.onnx`). Preprocessing is that of
 * `preprocessor_config.json`, else of timm's `config.json`, else the family's; the license that of its `README.md`.
 *
 * @param id what the encoder is called
 * @throws ModelError when there is neither, or what is there cannot be read
 */
export async function loadFolder(
  folder: string,
  id: string,
  options: ModelOptions = {},
): Promise<EncoderModel> {
  const config = await textOf(folder, "config.json");
  const found = isTransformerFolder(folder);
  if (found && isKnownConfig(config)) return withLicense(await loadWeights(folder, id, options), folder);
  const onnx = chooseOnnx(await localOnnx(folder), options.dtype ?? "fp32", folder);
  if (onnx !== undefined) return loadOnnx(join(folder, onnx.model), id, options);
  // Its message names the families.
  if (found) return loadWeights(folder, id, options);
  throw new ModelError(
    `${folder} is not an encoder's folder. Expected config.json with model.safetensors, or onnx/model.onnx.`,
  );
}

async function loadWeights(folder: string, id: string, options: ModelOptions): Promise<EncoderModel> {
  const processor = await processorOf(filesIn(folder));
  return loadTransformerFolder(folder, {
    id,
    ...(options.feature ? { feature: options.feature } : {}),
    ...(options.pool ? { pool: options.pool } : {}),
    preprocessing: (defaults) => {
      const own = processor?.(defaults) ?? defaults;
      return resized({ ...own, ...options.preprocessing }, options);
    },
  });
}

/**
 * Loads an .onnx file, with what is beside it: a description of the same name, or a repository's
 * preprocessor_config.json, config.json and README.md in its folder or, where that is named `onnx`, in the one above.
 */
export async function loadOnnx(path: string, id: string, options: ModelOptions = {}): Promise<EncoderModel> {
  if (/\.safetensors$/i.test(path)) {
    throw new ModelError(`${path} holds weights alone. Give the folder that has them and their config.json.`);
  }
  const model = await readOnnxFile(path, id, options);
  const card = await cardBeside(path);
  const own = dirname(path);
  const folder = basename(own) === "onnx" ? dirname(own) : own;
  const preprocessing =
    card?.preprocessing ??
    (await preprocessingOf(filesIn(folder), model.preprocessing)) ??
    model.preprocessing;
  return withLicense(withCard(model, card, options, preprocessing), folder);
}

async function cardBeside(path: string): Promise<ModelCard | undefined> {
  const name = basename(path).replace(/\.onnx$/i, ".json");
  if (name === basename(path)) return undefined;
  const text = await textOf(dirname(path), name);
  if (text === undefined) return undefined;
  try {
    // Another program's file of that name is none of ours.
    return ModelCard.safeParse(JSON.parse(text)).data;
  } catch (cause) {
    throw unreadable(join(dirname(path), name), `it is not JSON (${messageOf(cause)})`, cause);
  }
}

async function withLicense(model: EncoderModel, folder: string): Promise<EncoderModel> {
  if (model.provenance.license !== undefined) return model;
  const card = await textIfThere(join(folder, "README.md")).catch(() => undefined);
  const license = licenseOfCard(card ?? "");
  return license === undefined ? model : { ...model, provenance: { ...model.provenance, license } };
}

/** The small files of a folder. */
const filesIn = (folder: string): SideFiles => ({
  text: (name) => textOf(folder, name),
  where: (name) => join(folder, name),
});

/** A small file that says how images are prepared: one that is there and cannot be read must not be passed over. */
async function textOf(folder: string, name: string): Promise<string | undefined> {
  const path = join(folder, name);
  try {
    return await textIfThere(path);
  } catch (cause) {
    throw unreadable(path, messageOf(cause), cause);
  }
}

const unreadable = (path: string, why: string, cause: unknown): ModelError =>
  new ModelError(
    `${path} cannot be read: ${why}. It may say how images are prepared for the model: copy or download it again, or ` +
      "remove it if it is not the model's.",
    { cause },
  );
