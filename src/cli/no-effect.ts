import { readFileSync } from "node:fs";
import { join } from "node:path";
import { placeOf } from "../encoder/load/place.ts";
import { isTransformerFolder } from "../encoder/vit/folder-files.ts";
import { isKnownConfig } from "../encoder/vit/supported.ts";
import { UsageError } from "../errors.ts";

/** Options of which some encoders have no use. */
interface EncoderChoices {
  readonly dtype?: string;
  readonly pool?: string;
}

/**
 * Throws UsageError for an option, other than its default, that none of the encoders has a use for, as far as their files say without being
 * read: what is on the hub is not looked at.
 */
export function requireEffect(encoders: readonly string[], { dtype, pool }: EncoderChoices): void {
  if (encoders.length === 0) return;
  const given = encoders.map((encoder) => `"${encoder}"`).join(", ");
  if (dtype !== undefined && dtype !== "fp32" && encoders.every(hasOneFile)) {
    throw new UsageError(
      `--dtype ${dtype} was given with ${given}, whose weights have one type. Leave it out, or give a repository ` +
        "or folder with ONNX files of several types.",
    );
  }
  if (pool !== undefined && pool !== "auto" && encoders.every((text) => placeOf(text).kind === "embedded")) {
    throw new UsageError(
      `--pool ${pool} was given with ${given}, whose feature is a vector, not one per token. Leave it out.`,
    );
  }
}

/** Whether there is nothing to choose: one file, or safetensors, which are read whatever their type. */
function hasOneFile(encoder: string): boolean {
  const place = placeOf(encoder);
  if (place.kind === "hub") return false;
  if (place.kind !== "folder") return true;
  return (
    isTransformerFolder(place.path) && isKnownConfig(readFileSync(join(place.path, "config.json"), "utf8"))
  );
}
