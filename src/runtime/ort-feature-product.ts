import { Tensor } from "onnxruntime-common";
import { GraphBuilder } from "../graph/builder.ts";
import { int } from "../graph/ir.ts";
import type { FeatureProduct } from "../probe/batch-rows.ts";
import { matrix } from "../probe/matrix.ts";
import type { Runtime, Session } from "./runtime.ts";

/**
 * Products of features by ONNX Runtime's Gemm in single precision, as the features are. Each of the two forms is a
 * session, made at its first use and kept.
 */
export function ortFeatureProduct(runtime: Runtime): FeatureProduct & { release(): Promise<void> } {
  const sessions = new Map<boolean, Promise<Session>>();
  const sessionOf = (transposed: boolean): Promise<Session> => {
    const known = sessions.get(transposed);
    if (known !== undefined) return known;
    const builder = new GraphBuilder();
    const x = builder.input("x", ["n", "d"]);
    const b = builder.input("b", [transposed ? "n" : "d", "k"]);
    builder.named("Gemm", [x, b], "y", { transA: int(transposed ? 1 : 0) });
    builder.output("y", { dims: [transposed ? "d" : "n", "k"] });
    const made = runtime.session(builder.graph);
    sessions.set(transposed, made);
    return made;
  };
  const product: FeatureProduct = async (X, rows, B, transposed) => {
    const d = X.length / rows;
    const dims = [transposed ? d : rows, B.cols];
    const y = new Tensor("float32", new Float32Array(dims[0]! * B.cols), dims);
    const b = new Tensor("float32", Float32Array.from(B.data), [B.rows, B.cols]);
    await (await sessionOf(transposed)).run({ x: new Tensor("float32", X, [rows, d]), b }, { into: { y } });
    return matrix(dims[0]!, B.cols, Float64Array.from(y.data as Float32Array));
  };
  return Object.assign(product, {
    async release() {
      const made = [...sessions.values()];
      sessions.clear();
      for (const session of made) await (await session).release();
    },
  });
}
