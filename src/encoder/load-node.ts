import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { basename, dirname, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { Preprocessing } from "../data/preprocess.ts";
import { ModelError, messageOf } from "../errors.ts";
import { type ReadExternal, readOnnx } from "../graph/read.ts";
import type { EncoderModel, Pool } from "./model.ts";
import { isTransformerFolder, loadTransformerFolder } from "./vit/load-node.ts";

/** Folder of the encoders that come with the package. */
const embeddedFolder = ["../../models/", "../../../models/"]
  .map((relative) => fileURLToPath(new URL(relative, import.meta.url)))
  .find((folder) => existsSync(folder))!;

/** Names of the encoders that come with the package. */
export const embeddedEncoders = ["efficientnet-lite0"] as const;

const Embedded = z.object({
  licence: z.string(),
  source: z.string(),
  feature: z.string(),
  preprocessing: Preprocessing,
});

export interface LoadOptions {
  readonly feature?: string;
  readonly pool?: Pool;
  /** Side of the crop; the resize is scaled with it. */
  readonly size?: number;
  /** Shorter edge before the crop, instead of the encoder's own ratio. */
  readonly resize?: number;
  readonly preprocessing?: Partial<Preprocessing>;
}

/** ImageNet's usual statistics, assumed for an .onnx file that says nothing of its own. */
const imagenetMean = [0.485, 0.456, 0.406] as const;
const imagenetStd = [0.229, 0.224, 0.225] as const;

/**
 * Loads an encoder by an embedded name, the path of an .onnx file, or that of a folder with config.json and
 * model.safetensors of a Vision Transformer.
 * @throws ModelError when there is no such name or file, or the file is no ONNX model
 */
export async function loadEncoderModel(nameOrPath: string, options: LoadOptions = {}): Promise<EncoderModel> {
  if ((embeddedEncoders as readonly string[]).includes(nameOrPath)) {
    const file = `${embeddedFolder}${nameOrPath}.onnx`;
    const card = Embedded.parse(JSON.parse(await readFile(`${embeddedFolder}${nameOrPath}.json`, "utf8")));
    const model = await readModelFile(file, nameOrPath);
    return {
      ...model,
      provenance: { ...model.provenance, licence: card.licence, source: card.source },
      preprocessing: resized({ ...card.preprocessing, ...options.preprocessing }, options),
      feature: options.feature ?? card.feature,
      ...(options.pool ? { pool: options.pool } : {}),
    };
  }
  if (isTransformerFolder(nameOrPath)) {
    return loadTransformerFolder(nameOrPath, {
      ...(options.feature ? { feature: options.feature } : {}),
      ...(options.pool ? { pool: options.pool } : {}),
      preprocessing: (defaults) => resized({ ...defaults, ...options.preprocessing }, options),
    });
  }
  const model = await readModelFile(nameOrPath, nameOrPath);
  const card = await cardBeside(nameOrPath);
  const feature = options.feature ?? card?.feature;
  return {
    ...model,
    provenance: { ...model.provenance, ...(card ? { licence: card.licence, source: card.source } : {}) },
    preprocessing: resized(
      { ...(card?.preprocessing ?? model.preprocessing), ...options.preprocessing },
      options,
    ),
    ...(feature ? { feature } : {}),
    ...(options.pool ? { pool: options.pool } : {}),
  };
}

/** What `tools/convert_efficientnet_lite.py` writes beside a model it converts; undefined where there is none. */
async function cardBeside(path: string): Promise<z.infer<typeof Embedded> | undefined> {
  const text = await readFile(path.replace(/\.onnx$/i, ".json"), "utf8").catch(() => undefined);
  try {
    // Another program's file of that name is none of ours.
    return text === undefined ? undefined : Embedded.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function resized(preprocessing: Preprocessing, { size, resize: edge }: LoadOptions): Preprocessing {
  if (edge !== undefined)
    return { ...resized(preprocessing, size === undefined ? {} : { size }), resize: edge };
  if (size === undefined) return preprocessing;
  const scale = size / preprocessing.crop[0];
  const { resize } = preprocessing;
  const scaled =
    resize === null
      ? null
      : typeof resize === "number"
        ? Math.round(resize * scale)
        : // Axis by axis: what shows the whole image goes on doing so.
          ([0, 1].map((axis) => Math.round((resize[axis]! * size) / preprocessing.crop[axis]!)) as [
            number,
            number,
          ]);
  return { ...preprocessing, resize: scaled, crop: [size, size] };
}

async function readModelFile(path: string, id: string): Promise<EncoderModel> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new ModelError(
      `There is no encoder "${id}": it is neither an embedded name (${embeddedEncoders.join(", ")}) ` +
        `nor a readable .onnx file (${messageOf(error)}).`,
      { cause: error },
    );
  }
  const external = new Set<string>();
  const graph = await readOnnx(bytes, basename(path), externalReader(path, external));
  const sha256 = await hashFiles([path, ...[...external].sort()]);
  const input = graph.inputs[0];
  const [height, width] = [input?.dims[2], input?.dims[3]].map((d) => (typeof d === "number" ? d : 224)) as [
    number,
    number,
  ];
  return {
    provenance: { id, sha256 },
    graph,
    preprocessing: Preprocessing.parse({
      resize: height === width ? height : [height, width],
      crop: [height, width],
      interpolation: "bicubic",
      mean: imagenetMean,
      std: imagenetStd,
    }),
  };
}

/** Reads external data beside the model; a location that leaves the model's folder is refused. */
function externalReader(modelPath: string, used: Set<string>): ReadExternal {
  const folder = resolve(dirname(modelPath));
  return async (location, offset, length) => {
    const path = resolve(folder, location);
    if (!path.startsWith(folder + sep)) {
      throw new ModelError(
        `${basename(modelPath)} keeps weights in "${location}", outside of its own folder, which is refused. ` +
          "Put the file beside the model.",
      );
    }
    used.add(path);
    let file: Awaited<ReturnType<typeof open>>;
    try {
      file = await open(path, "r");
    } catch (error) {
      throw new ModelError(
        `${basename(modelPath)} keeps its weights in "${location}", which cannot be read (${messageOf(error)}). ` +
          `Put that file into ${folder}.`,
        { cause: error },
      );
    }
    try {
      const size = length ?? (await file.stat()).size - offset;
      const bytes = new Uint8Array(size);
      const { bytesRead } = await file.read(bytes, 0, size, offset);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  };
}

async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths)
    for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
