import { existsSync } from "node:fs";
import { join } from "node:path";

export const configFile = "config.json";
export const weightsFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";

/** Whether a path is a folder with a config.json and safetensors weights, as `loadTransformerFolder` reads. */
export function isTransformerFolder(folder: string): boolean {
  return (
    existsSync(join(folder, configFile)) &&
    (existsSync(join(folder, weightsFile)) || existsSync(join(folder, indexFile)))
  );
}
