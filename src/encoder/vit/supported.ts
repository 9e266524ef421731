import { families } from "./families.ts";
import { timmTransformer } from "./timm.ts";

/**
 * Whether a config.json is of a family that is built from safetensors: of Hugging Face transformers (`model_type`),
 * timm (`architecture`), or the arguments of timm's constructor.
 */
export function isKnownConfig(text: string | undefined): boolean {
  let json: unknown;
  try {
    json = text === undefined ? undefined : JSON.parse(text);
  } catch {
    return false;
  }
  if (typeof json !== "object" || json === null) return false;
  const config = json as Record<string, unknown>;
  if (typeof config.architecture === "string") {
    return timmTransformer(config.architecture.split(".")[0], {}, () => false) !== undefined;
  }
  if (typeof config.model_type === "string") {
    return families.some(({ modelTypes }) => modelTypes.includes(config.model_type as string));
  }
  return ["embed_dim", "depth", "num_heads"].every((key) => key in config);
}
