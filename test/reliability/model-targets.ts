import { readPreprocessorConfig } from "../../src/encoder/load/preprocessor-config.ts";
import { readTransformerConfig } from "../../src/encoder/vit/vit-config.ts";
import { openSafetensors } from "../../src/files/safetensors.ts";
import { load } from "../../src/onnx-vjp/model.ts";
import { jsonMutator, safetensorsMutator } from "./mutate.ts";
import { onnxMutator } from "./mutate-onnx.ts";
import { placed, plain, smallFiles, type Target, text } from "./target.ts";

/** What models are read from. */
export const modelTargets: Readonly<Record<string, Target>> = {
  onnx: {
    mutate: onnxMutator,
    corpus: () => smallFiles(/\.onnx$/, 12_000),
    async read(bytes) {
      const model = await load(bytes, { threads: 1, memoryBytes: 2 ** 28 });
      try {
        await model.coverage();
      } finally {
        await model.release();
      }
    },
    weight: 4,
  },
  safetensors: {
    mutate: safetensorsMutator,
    corpus: () => smallFiles(/\.safetensors$/, 20_000),
    async read(bytes, folder) {
      const file = await openSafetensors(placed(`${folder}/x.safetensors`, bytes));
      try {
        for (const [name, { dtype }] of file.tensors) if (/^B?F/.test(dtype)) await file.floats(name);
      } finally {
        await file.close();
      }
    },
  },
  configurations: {
    mutate: jsonMutator,
    corpus: () => smallFiles(/config\.json$/),
    async read(bytes) {
      readTransformerConfig(text(bytes), "config.json", () => true);
    },
  },
  preprocessors: {
    mutate: jsonMutator,
    corpus: () => smallFiles(/preprocessor_?(config)?\.json$/),
    async read(bytes) {
      readPreprocessorConfig(text(bytes), plain, "preprocessor_config.json", "vit");
    },
  },
};
