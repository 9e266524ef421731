import type { PartialContext } from "../../context.ts";
import { UsageError } from "../../errors.ts";
import { type HubAccess, userHub } from "../../files/hub/settings.ts";
import type { EncoderModel } from "../encoder-model.ts";
import { unknownLicense } from "../registry.ts";
import { loadFolder, loadOnnx, type ModelOptions } from "./folder.ts";
import { fetchModel } from "./hub-model.ts";
import { placeOf } from "./place.ts";

export interface LoadOptions extends ModelOptions {
  /** Branch, tag or commit of a hub repository (default: main). */
  readonly revision?: string;
  /** How the hub is reached; by default as Hugging Face's environment variables say. */
  readonly hub?: HubAccess;
  readonly context?: PartialContext;
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
  if (place.kind !== "hub" && revision !== undefined && revision !== "main") {
    throw new UsageError(
      `\`revision: '${revision}'\` was given with "${text}", which is not a repository of the hub. Leave it out, or give ` +
        "owner/name.",
    );
  }
  if (place.kind === "folder") return loadFolder(place.path, text, own);
  if (place.kind !== "hub") return loadOnnx(place.path, text, own);
  const access = hub ?? userHub();
  const { folder, commit } = await fetchModel({ id: place.id, revision, dtype: own.dtype }, access, context);
  const model = await loadFolder(folder, text, own);
  // A model card may have been corrected since the table was made.
  const license = model.provenance.license ?? (place.license === unknownLicense ? undefined : place.license);
  return {
    ...model,
    provenance: {
      ...model.provenance,
      ...(license === undefined ? {} : { license }),
      source: `${access.hubUrl}/${place.id}`,
      revision: commit,
    },
  };
}
