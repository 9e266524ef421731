import { Tensor } from "onnxruntime-common";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { FeatureProduct } from "./batch-rows.ts";
import { gemmSessions } from "./gemm-sessions.ts";
import { matrix } from "./matrix.ts";

/** Products of features by ONNX Runtime's Gemm in single precision, as the features are. */
export function ortFeatureProduct(runtime: Runtime): FeatureProduct & { release(): Promise<void> } {
  const sessions = gemmSessions(runtime);
  const product: FeatureProduct = async (X, rows, B, transposed) => {
    const d = X.length / rows;
    const m = transposed ? d : rows;
    const session = await sessions.of({ dtype: "float32", transA: transposed });
    const a = new Tensor("float32", X, [rows, d]);
    const b = new Tensor("float32", Float32Array.from(B.data), [B.rows, B.cols]);
    const c = new Float32Array(m * B.cols);
    await session.run({ a, b }, { into: { c: new Tensor("float32", c, [m, B.cols]) } });
    return matrix(m, B.cols, Float64Array.from(c));
  };
  return Object.assign(product, { release: sessions.release });
}
