import { existsSync } from "node:fs";
import { join } from "node:path";
import { ModelError, messageOf } from "../../errors.ts";
import { sha256OfFiles } from "../../files/hash.ts";
import { settingsText } from "../../files/regular-file.ts";
import { openSafetensors, type SafetensorsFile } from "../../files/safetensors.ts";
import type { EncoderModel } from "../encoder-model.ts";
import { configFile, indexFile, weightsFile } from "./folder-files.ts";
import { type TransformerOptions, transformerModel } from "./transformer-model.ts";
import { shardsOf } from "./weight-shards.ts";

/**
 * Builds the Vision Transformer of a folder with `config.json` and `model.safetensors` (or shards with
 * `model.safetensors.index.json`), as Hugging Face transformers and timm lay them out; weights of any float type.
 * Its graph takes images of the preprocessing's crop, to which position embeddings are brought.
 *
 * @throws ModelError for an unknown family, weights that do not fit the configuration, or files that are not there
 * @throws DataError for a damaged safetensors file
 */
export async function loadTransformerFolder(
  folder: string,
  options: TransformerOptions = {},
): Promise<EncoderModel> {
  const text = await readText(folder, configFile);
  const paths = await weightPaths(folder);
  const opened: SafetensorsFile[] = [];
  try {
    for (const path of paths) opened.push(await openSafetensors(path));
    return await transformerModel(
      {
        where: folder,
        config: { text, where: join(folder, configFile) },
        weights: opened.map((file, i) => ({ where: paths[i]!, file })),
        sha256: () => sha256OfFiles(...paths),
      },
      options,
    );
  } finally {
    for (const file of opened) await file.close();
  }
}

/** The weight files of a folder, in order. */
async function weightPaths(folder: string): Promise<string[]> {
  if (existsSync(join(folder, weightsFile))) return [join(folder, weightsFile)];
  if (!existsSync(join(folder, indexFile))) {
    throw new ModelError(
      `${folder} has neither ${weightsFile} nor ${indexFile}. Put the weights beside ${configFile}, as safetensors ` +
        "(files of other kinds can run code and are not read).",
    );
  }
  const text = await readText(folder, indexFile);
  return shardsOf(text, join(folder, indexFile)).map((shard) => join(folder, shard));
}

async function readText(folder: string, name: string): Promise<string> {
  try {
    return await settingsText(join(folder, name));
  } catch (error) {
    throw new ModelError(
      `${folder} has no ${name} that can be read (${messageOf(error)}). A model's folder holds ${configFile} and ` +
        `${weightsFile}.`,
      { cause: error },
    );
  }
}
