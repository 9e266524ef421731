import type { EncoderParams } from "../engine/params.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createEncoder, type Encoder } from "./encoder.ts";
import { loadEncoderModel } from "./load-node.ts";

/** Loads and prepares the encoder that the parameters name, on the device that they name. */
export async function openEncoder(params: EncoderParams): Promise<{ runtime: Runtime; encoder: Encoder }> {
  const runtime = nodeRuntime({
    ...(params.device ? { device: params.device } : {}),
    ...(params.threads ? { threads: params.threads } : {}),
  });
  const model = await loadEncoderModel(params.encoder, {
    ...(params.feature ? { feature: params.feature } : {}),
    ...(params.pool ? { pool: params.pool } : {}),
    ...(params.size ? { size: params.size } : {}),
    ...(params.resize ? { resize: params.resize } : {}),
  });
  return { runtime, encoder: await createEncoder(runtime, model) };
}
