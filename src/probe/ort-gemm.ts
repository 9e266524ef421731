import { Tensor } from "onnxruntime-common";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { type Gemm, jsGemm, productSizes } from "./gemm.ts";
import { gemmSessions } from "./gemm-sessions.ts";
import { type Matrix, matrix, scaled } from "./matrix.ts";

/**
 * Double matrix products by ONNX Runtime's Gemm (65 to 80 GFLOP/s on 2 cores; MatMul, with a Transpose in
 * front where needed, is within a few per cent of it). Transposition and sign are attributes of the operator,
 * so each combination is a session, made at its first use and kept: make one such Gemm per runtime and share
 * it. `runtime` must run on the CPU: GPU providers have no double Gemm.
 */
export function ortGemm(runtime: Runtime): Gemm & { release(): Promise<void> } {
  const sessions = gemmSessions(runtime);
  return {
    async multiply(a, b, options = {}) {
      const { rows, inner, cols } = productSizes(a, b, options);
      const { transA = false, transB = false, alpha = 1, plus, into = matrix(rows, cols) } = options;
      if (rows * inner * cols === 0) return jsGemm.multiply(a, b, options);
      const negate = alpha < 0;
      const session = await sessions.of({
        dtype: "float64",
        transA,
        transB,
        negate,
        plus: plus !== undefined,
      });
      // A factor other than ±1 goes into the smaller operand: as an attribute it would need its own session.
      const scale = Math.abs(alpha);
      const scaleA = a.data.length < b.data.length;
      const feeds = {
        a: tensorOf(scaleA ? times(a, scale) : a),
        b: tensorOf(scaleA ? b : times(b, scale)),
        ...(plus === undefined ? {} : { plus: tensorOf(plus) }),
      };
      await session.run(feeds, { into: { c: tensorOf(into) } });
      return into;
    },
    release: sessions.release,
  };
}

const times = (a: Matrix, factor: number) => (factor === 1 ? a : scaled(a, factor));

const tensorOf = (a: Matrix) => new Tensor("float64", a.data, [a.rows, a.cols]);
