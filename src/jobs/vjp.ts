import { load } from "../onnx-vjp/model.ts";
import type { WrittenVjp } from "../onnx-vjp/write-vjp.ts";
import type { VjpParams } from "./params.ts";

/** Writes the forward and the pullback of a function of an ONNX model as two files for any runtime. */
export async function writeVjpFiles(params: VjpParams): Promise<WrittenVjp> {
  const { model, out, wrt, of, shapes, overwrite, memoryBytes } = params;
  const loaded = await load(model, { inputs: wrt, output: of, memoryBytes });
  return loaded.write(out, { shapes, overwrite });
}
