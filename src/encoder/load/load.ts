import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { PartialContext } from "../../context.ts";
import { ModelError, UsageError } from "../../errors.ts";
import { type HubAccess, userHub } from "../../files/hub/settings.ts";
import type { EncoderModel } from "../model.ts";
import { isHubId, knownEncoder, knownEncoders, unknownLicence } from "../registry.ts";
import { loadFolder, loadOnnx, type ModelOptions } from "./folder.ts";
import { fetchModel } from "./hub.ts";

/** Folder of the encoders that come with the package. */
const embeddedFolder = ["../../../models/", "../../../../models/"]
  .map((relative) => fileURLToPath(new URL(relative, import.meta.url)))
  .find((folder) => existsSync(folder))!;

export interface LoadOptions extends ModelOptions {
  /** Branch, tag or commit of a hub repository (default: main). */
  readonly revision?: string;
  /** How the hub is reached; by default as Hugging Face's environment variables say. */
  readonly hub?: HubAccess;
  readonly context?: PartialContext;
}

/** What the text of `--encoder` stands for. */
export type EncoderPlace =
  | { readonly kind: "embedded"; readonly path: string }
  | { readonly kind: "folder" | "file"; readonly path: string }
  | { readonly kind: "hub"; readonly id: string; readonly licence: string | undefined };

/**
 * Finds out what a text names: what is there as a file or folder before a short name before a hub id.
 * @throws ModelError for a text that is none of them
 */
export function placeOf(text: string): EncoderPlace {
  const local = statSync(text, { throwIfNoEntry: false });
  const known = knownEncoder(text);
  if (local?.isDirectory()) return { kind: "folder", path: text };
  if (local !== undefined) return { kind: "file", path: text };
  if (known !== undefined) {
    return known.hub === undefined
      ? { kind: "embedded", path: `${embeddedFolder}${known.name}.onnx` }
      : { kind: "hub", id: known.hub, licence: known.licence };
  }
  if (isHubId(text)) return { kind: "hub", id: text, licence: undefined };
  throw new ModelError(
    `There is no encoder "${text}": neither a file nor a folder is there, and it is no known name ` +
      `(${knownEncoders.map(({ name }) => name).join(", ")}) and no hub id (owner/name).`,
  );
}

/**
 * Loads an encoder by a short name (`registry.ts`), the id of a hub repository, the path of a folder with its weights,
 * or that of an .onnx file. What is there under a path is taken before a name.
 * @throws ModelError when there is no such encoder, or it cannot be read
 * @throws DownloadError when it would have to be fetched and cannot be
 */
export async function loadEncoderModel(text: string, options: LoadOptions = {}): Promise<EncoderModel> {
  const { revision, hub, context, ...own } = options;
  const place = placeOf(text);
  if (place.kind !== "hub" && revision !== undefined) {
    throw new UsageError(
      `--revision ${revision} was given with "${text}", which is no repository of the hub. Leave it out, or give ` +
        "owner/name.",
    );
  }
  if (place.kind === "folder") return loadFolder(place.path, text, own);
  if (place.kind !== "hub") return loadOnnx(place.path, text, own);
  const access = hub ?? userHub();
  const { folder, commit } = await fetchModel({ id: place.id, revision, dtype: own.dtype }, access, context);
  const model = await loadFolder(folder, text, own);
  // A card may have been corrected since the table was made.
  const licence = model.provenance.licence ?? (place.licence === unknownLicence ? undefined : place.licence);
  return {
    ...model,
    provenance: {
      ...model.provenance,
      ...(licence === undefined ? {} : { licence }),
      source: `${access.hubUrl}/${place.id}`,
      revision: commit,
    },
  };
}
