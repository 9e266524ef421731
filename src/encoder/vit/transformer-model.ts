import { DataError } from "../../errors.ts";
import type { SafetensorsEntry, SafetensorsFile } from "../../files/safetensors-header.ts";
import type { Preprocessing } from "../../images/preprocess.ts";
import type { EncoderModel, Pool } from "../encoder-model.ts";
import { buildTransformer } from "./build.ts";
import { readTransformerConfig, requireFewPatches } from "./vit-config.ts";
import { matchWeights, type WeightFiles } from "./weights.ts";

/** How weights are to be loaded. */
export interface TransformerOptions {
  /** What the encoder is called (default: where its files are). */
  readonly id?: string;
  /** A tensor of the graph to take instead of the pooled feature: `last_hidden_state` is all tokens. */
  readonly feature?: string;
  readonly pool?: Pool;
  /** Comes before what the family and its configuration say; given the defaults where it is a function. */
  readonly preprocessing?: Partial<Preprocessing> | ((defaults: Preprocessing) => Preprocessing);
}

/** The files of a transformer, open. */
export interface TransformerFiles {
  /** The folder, or what errors call the files together. */
  readonly where: string;
  /** The text of `config.json`, and what errors call it. */
  readonly config: { readonly text: string; readonly where: string };
  /** Files of weights with what errors call them, in order. */
  readonly weights: readonly { readonly where: string; readonly file: SafetensorsFile }[];
  /** Of the weights; asked for once they are what the configuration describes, since a file may have any size. */
  readonly sha256: () => Promise<string>;
}

/**
 * Builds a Vision Transformer from its files, wherever they are.
 * @throws ModelError for an unknown family, or weights that do not fit the configuration
 * @throws DataError for a tensor that two files hold
 */
export async function transformerModel(
  files: TransformerFiles,
  options: TransformerOptions = {},
): Promise<EncoderModel> {
  const all = together(files);
  const { text, where } = files.config;
  const config = readTransformerConfig(text, where, (name) => all.tensors.has(name));
  const { preprocessing: asked = {} } = options;
  const preprocessing =
    typeof asked === "function" ? asked(config.preprocessing) : { ...config.preprocessing, ...asked };
  requireFewPatches(where, config.description, preprocessing.crop);
  const weights = matchWeights(config.description, config.names, all);
  const { feature, pool } = options;
  const { graph, pooled } = await buildTransformer(
    config.description,
    weights,
    preprocessing.crop,
    pool ?? "auto",
  );
  return {
    provenance: { id: options.id ?? files.where, sha256: await files.sha256() },
    graph,
    preprocessing,
    pooled,
    ...(feature === undefined ? {} : { feature }),
    ...(pool ? { pool } : {}),
  };
}

/** All files as one. */
function together({ where, weights }: TransformerFiles): WeightFiles {
  const tensors = new Map<string, Pick<SafetensorsEntry, "dtype" | "shape"> & { file: SafetensorsFile }>();
  for (const { where: own, file } of weights) {
    for (const [name, tensor] of file.tensors) {
      if (tensors.has(name)) {
        throw new DataError(`${nameOf(own)} holds "${name}", and so does another file of ${where}.`);
      }
      tensors.set(name, { ...tensor, file });
    }
  }
  return {
    where: weights.length === 1 ? weights[0]!.where : where,
    tensors,
    floats: (name) => tensors.get(name)!.file.floats(name),
  };
}

const nameOf = (path: string): string => path.split(/[/\\]/).at(-1)!;
