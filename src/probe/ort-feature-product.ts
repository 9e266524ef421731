import { Tensor } from "onnxruntime-common";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { FeatureProduct } from "./batch-rows.ts";
import { gemmSessions } from "./gemm-sessions.ts";
import { matrix } from "./matrix.ts";

/**
 * Products of features by ONNX Runtime's Gemm in single precision, as the features are. Xᵀ · B is computed as the
 * transpose of Bᵀ · X: a Gemm lays its large factor out anew, which takes longer for a transposed one.
 */
export function ortFeatureProduct(runtime: Runtime): FeatureProduct & { release(): Promise<void> } {
  const sessions = gemmSessions(runtime);
  const product: FeatureProduct = async (X, rows, B, transposed) => {
    const d = X.length / rows;
    const k = B.cols;
    const session = await sessions.of({ dtype: "float32" });
    const features = new Tensor("float32", X, [rows, d]);
    const multiply = async (a: Tensor, b: Tensor, m: number, n: number) => {
      const c = new Float32Array(m * n);
      await session.run({ a, b }, { into: { c: new Tensor("float32", c, [m, n]) } });
      return c;
    };
    if (!transposed) {
      const b = new Tensor("float32", new Float32Array(B.data), [d, k]);
      return matrix(rows, k, new Float64Array(await multiply(features, b, rows, k)));
    }
    const a = new Float32Array(k * rows);
    for (let i = 0; i < rows; i++) for (let j = 0; j < k; j++) a[j * rows + i] = B.data[i * k + j];
    const c = await multiply(new Tensor("float32", a, [k, rows]), features, k, d);
    const out = new Float64Array(d * k);
    for (let j = 0; j < k; j++) for (let i = 0; i < d; i++) out[i * k + j] = c[j * d + i];
    return matrix(d, k, out);
  };
  return Object.assign(product, { release: sessions.release });
}
