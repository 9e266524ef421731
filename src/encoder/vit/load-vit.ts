import { existsSync } from "node:fs";

import { basename, join } from "node:path";
import { DataError, ModelError, messageOf } from "../../errors.ts";
import { sha256OfFiles } from "../../files/hash.ts";
import { readRegular } from "../../files/regular-file.ts";
import { openSafetensors, type SafetensorsFile } from "../../files/safetensors.ts";
import type { SafetensorsEntry } from "../../files/safetensors-header.ts";
import type { Preprocessing } from "../../images/preprocess.ts";
import type { EncoderModel, Pool } from "../encoder-model.ts";
import { buildTransformer } from "./build.ts";
import { configFile, indexFile, weightsFile } from "./folder-files.ts";
import { readTransformerConfig, requireFewPatches } from "./vit-config.ts";
import { shardsOf } from "./weight-shards.ts";
import { matchWeights, type WeightFiles } from "./weights.ts";

/** How a folder of weights is to be loaded. */
export interface TransformerFolderOptions {
  /** What the encoder is called (default: the folder's path). */
  readonly id?: string;
  /** A tensor of the graph to take instead of the pooled feature: `last_hidden_state` is all tokens. */
  readonly feature?: string;
  readonly pool?: Pool;
  /** Comes before what the family and its configuration say; given the defaults where it is a function. */
  readonly preprocessing?: Partial<Preprocessing> | ((defaults: Preprocessing) => Preprocessing);
}

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
  options: TransformerFolderOptions = {},
): Promise<EncoderModel> {
  const text = await readText(folder, configFile);
  const paths = await weightPaths(folder);
  const files = await openAll(folder, paths);
  try {
    const config = readTransformerConfig(text, join(folder, configFile), (name) => files.tensors.has(name));
    const { preprocessing: asked = {} } = options;
    const preprocessing =
      typeof asked === "function" ? asked(config.preprocessing) : { ...config.preprocessing, ...asked };
    requireFewPatches(join(folder, configFile), config.description, preprocessing.crop);
    const weights = matchWeights(config.description, config.names, files);
    const { feature } = options;
    const { graph, pooled } = await buildTransformer(
      config.description,
      weights,
      preprocessing.crop,
      options.pool ?? "auto",
    );
    return {
      provenance: { id: options.id ?? folder, sha256: await sha256OfFiles(...paths) },
      graph,
      preprocessing,
      pooled,
      ...(feature === undefined ? {} : { feature }),
      ...(options.pool ? { pool: options.pool } : {}),
    };
  } finally {
    await files.close();
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

/** Opens all files as one; a tensor that two of them hold is an error. */
async function openAll(
  folder: string,
  paths: readonly string[],
): Promise<WeightFiles & { close(): Promise<void> }> {
  const opened: SafetensorsFile[] = [];
  const close = async () => {
    for (const file of opened) await file.close();
  };
  try {
    const tensors = new Map<string, Pick<SafetensorsEntry, "dtype" | "shape"> & { file: SafetensorsFile }>();
    for (const path of paths) {
      const file = await openSafetensors(path);
      opened.push(file);
      for (const [name, tensor] of file.tensors) {
        if (tensors.has(name))
          throw new DataError(`${basename(path)} holds "${name}", and so does another file of ${folder}.`);
        tensors.set(name, { ...tensor, file });
      }
    }
    const [first] = paths;
    return {
      where: paths.length === 1 ? first! : folder,
      tensors,
      floats: (name) => tensors.get(name)!.file.floats(name),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readText(folder: string, name: string): Promise<string> {
  try {
    return String(await readRegular(join(folder, name)));
  } catch (error) {
    throw new ModelError(
      `${folder} has no ${name} that can be read (${messageOf(error)}). A model's folder holds ${configFile} and ` +
        `${weightsFile}.`,
      { cause: error },
    );
  }
}
