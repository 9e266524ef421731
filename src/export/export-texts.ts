import { type ExportedSet, modelConfig, processorConfig } from "./config-files.ts";
import { type CardFiles, modelCard } from "./model-card.ts";

/** The text files of an export, by their paths in its folder; the ONNX files are in `onnx/` beside them. */
export function exportTexts(set: ExportedSet, card: CardFiles): Readonly<Record<string, string>> {
  const json = (value: object) => `${JSON.stringify(value, null, 2)}\n`;
  return {
    "config.json": json(modelConfig(set, card.files)),
    "preprocessor_config.json": json(processorConfig(set)),
    "README.md": modelCard(set, card),
  };
}
