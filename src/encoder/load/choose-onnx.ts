import { ModelError, UsageError } from "../../errors.ts";

/** Which of a repository's ONNX files is taken. Weights in safetensors are read as they are, whatever their type. */
export type Dtype = "fp32" | "fp16";
export const dtypes = ["fp32", "fp16"] as const satisfies readonly Dtype[];

/** Files that are read where they are there: of any model. */
export const sideFiles = [
  "config.json",
  "preprocessor_config.json",
  "processor_config.json",
  "README.md",
] as const;
export const weightFiles = ["model.safetensors", "model.safetensors.index.json"] as const;

/** Endings of quantized weights, as transformers.js names them: none of them has a gradient. */
const quantized = /_(quantized|int8|uint8|bnb4|q4|q4f16|q8|q2|q2f16|q1|q1f16)\.onnx$/;

/** Checks what a person gave for `dtype`. Throws UsageError for any other type: quantized ones have no gradient. */
export function asDtype(text: string): Dtype {
  if ((dtypes as readonly string[]).includes(text)) return text as Dtype;
  throw new UsageError(
    `\`dtype: '${text}'\` cannot be used: quantized weights have no gradient. Expected fp32 or fp16.`,
  );
}

/**
 * Which ONNX file of a repository is the image encoder: the image half of a model of images and texts before the
 * whole one, as `onnx/vision_model.onnx`, `onnx/model.onnx` or `model.onnx`; with `_fp16` for half precision.
 *
 * @param paths every path under the repository's root and its folder `onnx`
 * @returns the file, and those beside it that hold its weights; undefined where the repository has no ONNX file
 * @throws ModelError where it has ONNX files but none of that type, naming those that there are
 */
export function chooseOnnx(
  paths: readonly string[],
  dtype: Dtype,
  where: string,
): { readonly model: string; readonly data: readonly string[] } | undefined {
  const all = paths.filter((path) => path.endsWith(".onnx"));
  if (all.length === 0) return undefined;
  const ending = dtype === "fp16" ? "_fp16" : "";
  const names = ["onnx/vision_model", "onnx/model", "vision_model", "model"];
  const model = names.map((name) => `${name}${ending}.onnx`).find((path) => all.includes(path));
  if (model === undefined) {
    const usable = all.filter((path) => !quantized.test(path));
    const refused = all.filter((path) => quantized.test(path));
    throw new ModelError(
      `${where} has no ${names[0]}${ending}.onnx or ${names[1]}${ending}.onnx. ` +
        (usable.length > 0
          ? `It has ${usable.join(", ")}: give another \`dtype\` or the file's path. `
          : "") +
        (refused.length > 0
          ? `${refused.join(", ")} ${refused.length === 1 ? "is" : "are"} quantized and without a gradient. `
          : "") +
        "Expected a model in float32 or float16.",
    );
  }
  const data = paths.filter(
    (path) => path === `${model}.data` || (path.startsWith(`${model}_data`) && /_data(_\d+)?$/.test(path)),
  );
  return { model, data };
}
