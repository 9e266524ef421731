import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ModelError } from "../../errors.ts";
import { isHubId, knownEncoder, knownEncoders } from "../registry.ts";

/** Folder of the encoders that come with the package. */
const embeddedFolder = ["../../../models/", "../../../../models/"]
  .map((relative) => fileURLToPath(new URL(relative, import.meta.url)))
  .find((folder) => existsSync(folder))!;

/** What the text of `encoder` stands for. */
export type EncoderPlace =
  | { readonly kind: "embedded"; readonly path: string }
  | { readonly kind: "folder" | "file"; readonly path: string }
  | { readonly kind: "hub"; readonly id: string; readonly license: string | undefined };

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
      : { kind: "hub", id: known.hub, license: known.license };
  }
  if (isHubId(text)) return { kind: "hub", id: text, license: undefined };
  throw new ModelError(
    `There is no encoder "${text}": neither a file nor a folder is there, and it is not a known name ` +
      `(${knownEncoders.map(({ name }) => name).join(", ")}) and no hub id (owner/name).`,
  );
}
