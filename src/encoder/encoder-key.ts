import { createHash } from "node:crypto";
import type { KeptKey } from "../files/kept.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { env } from "../onnx-vjp/runtime/binding.ts";
import type { EncoderModel } from "./encoder-model.ts";
import { selectFeature } from "./select-feature.ts";

/** Constants of fewer bytes are part of the key; larger ones are weights, which the model's sha256 stands for. */
const leastWeightBytes = 4096;

/**
 * What everything that is derived from an encoder depends on, beside this package's code: its weights, its graph, what is
 * taken from it, and what runs it.
 */
export async function encoderKey(runtime: Runtime, model: EncoderModel, precision: string): Promise<KeptKey> {
  const { provenance, graph, ...rest } = model;
  const structure = JSON.stringify(graph, (_, value: unknown) => {
    if (value instanceof Map) return [...value];
    if (!(value instanceof Uint8Array)) return value;
    return value.byteLength < leastWeightBytes ? Buffer.from(value).toString("base64") : value.byteLength;
  });
  return {
    weights: provenance.sha256,
    graph: createHash("sha256").update(structure).digest("hex"),
    ...rest,
    feature: selectFeature(graph, model.feature).value,
    precision,
    device: runtime.device,
    block: await runtime.convolutionBlock?.(),
    runtime: [env.versions, process.arch, process.platform],
  };
}
