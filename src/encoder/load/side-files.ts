import * as z from "zod";
import type { Preprocessing } from "../../images/preprocess.ts";
import { readTimmPreprocessing } from "../vit/timm-preprocessing.ts";
import { readPreprocessorConfig } from "./preprocessor-config.ts";

/** The small files beside a model's weights, wherever they are. */
export interface SideFiles {
  /** The text of a file; undefined where it is not there. */
  text(name: string): Promise<string | undefined>;
  /** What errors call it. */
  where(name: string): string;
}

/** The preprocessing that a repository's files state, else timm's; undefined where they state none. */
export async function preprocessingOf(
  files: SideFiles,
  fallback: Preprocessing,
): Promise<Preprocessing | undefined> {
  const processor = await processorOf(files);
  if (processor !== undefined) return processor(fallback);
  const config = await files.text("config.json");
  return config === undefined
    ? undefined
    : readTimmPreprocessing(config, fallback.crop, files.where("config.json"));
}

/**
 * The image processor of a repository: of processor_config.json where that holds one, as transformers 5 writes it, else of
 * preprocessor_config.json. A file that names no class is read as the class of the model that config.json names.
 */
export async function processorOf(
  files: SideFiles,
): Promise<((fallback: Preprocessing) => Preprocessing) | undefined> {
  const config = ModelType.safeParse(jsonOrUndefined(await files.text("config.json")));
  const whole = await files.text("processor_config.json");
  const nested = z.object({ image_processor: z.looseObject({}) }).safeParse(jsonOrUndefined(whole)).success;
  const name = nested ? "processor_config.json" : "preprocessor_config.json";
  const text = nested ? whole : await files.text(name);
  if (text === undefined) return undefined;
  return (fallback) => readPreprocessorConfig(text, fallback, files.where(name), config.data?.model_type);
}

const ModelType = z.object({ model_type: z.string() });

function jsonOrUndefined(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
