import type { PartialContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { type Kept, keptFor } from "../files/kept.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { createEncoder, type Encoder } from "./encoder.ts";
import { encoderKey } from "./encoder-key.ts";
import type { EncoderParams } from "./encoder-params.ts";
import { loadEncoderModel } from "./load/load.ts";
import { givenForm } from "./model-form.ts";

/**
 * Loads and prepares the encoder that the parameters name, on the device that they name; `context` hears of a
 * download and can stop it. What is derived from the encoder is taken from `kept` where it is there.
 */
export async function openEncoder(
  params: EncoderParams,
  context?: PartialContext,
  kept?: Kept,
): Promise<{ runtime: Runtime; encoder: Encoder }> {
  const { device = "cpu", precision = "float32" } = params;
  if (precision === "float16" && device === "cpu") {
    throw new UsageError(
      "`precision: 'float16'` was given without a GPU: CPUs compute in half precision two to four times slower. " +
        "Leave it out, or name a GPU with `device: 'cuda'` or `device: 'webgpu'`.",
    );
  }
  const runtime = nodeRuntime({
    ...(params.device ? { device: params.device } : {}),
    threads: params.threads,
    memoryBytes: params.memoryBytes,
  });
  const model = await loadEncoderModel(params.encoder, {
    ...(params.feature ? { feature: params.feature } : {}),
    ...(params.pool ? { pool: params.pool } : {}),
    ...(params.size ? { size: params.size } : {}),
    ...(params.resize ? { resize: params.resize } : {}),
    ...(params.revision ? { revision: params.revision } : {}),
    ...(params.dtype ? { dtype: params.dtype } : {}),
    ...givenForm(params),
    ...(params.hub ? { hub: params.hub } : {}),
    ...(context ? { context } : {}),
  });
  const own = kept ? { kept: keptFor(kept, await encoderKey(runtime, model, precision)) } : {};
  return { runtime, encoder: await createEncoder(runtime, model, { precision, ...own }) };
}
