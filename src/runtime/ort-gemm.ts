import { Tensor } from "onnxruntime-common";
import { GraphBuilder } from "../graph/builder.ts";
import { float, type Graph, int } from "../graph/ir.ts";
import { type Gemm, jsGemm, productSizes } from "../probe/gemm.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import type { Runtime, Session } from "./runtime.ts";

/**
 * Double matrix products by ONNX Runtime's Gemm (65 to 80 GFLOP/s on 2 cores; MatMul, with a Transpose in
 * front where needed, is within a few per cent of it). Transposition and sign are attributes of the operator,
 * so each combination is a session, made at its first use and kept: make one such Gemm per runtime and share
 * it. `runtime` must run on the CPU: GPU providers have no double Gemm.
 */
export function ortGemm(runtime: Runtime): Gemm & { release(): Promise<void> } {
  const sessions = new Map<string, Promise<Session>>();
  const sessionOf = (kind: GemmKind): Promise<Session> => {
    const key = `${kind.transA} ${kind.transB} ${kind.negate} ${kind.plus}`;
    const known = sessions.get(key);
    if (known !== undefined) return known;
    const made = runtime.session(gemmGraph(kind));
    sessions.set(key, made);
    return made;
  };
  return {
    async multiply(a, b, options = {}) {
      const { rows, inner, cols } = productSizes(a, b, options);
      const { transA = false, transB = false, alpha = 1, plus, into = matrix(rows, cols) } = options;
      if (rows * inner * cols === 0) return jsGemm.multiply(a, b, options);
      const negate = alpha < 0;
      const session = await sessionOf({ transA, transB, negate, plus: plus !== undefined });
      // A factor other than ±1 goes into the smaller operand: as an attribute it would need its own session.
      const scale = Math.abs(alpha);
      const scaleA = a.data.length < b.data.length;
      const feeds = {
        a: tensorOf(scaleA ? scaled(a, scale) : a),
        b: tensorOf(scaleA ? b : scaled(b, scale)),
        ...(plus === undefined ? {} : { plus: tensorOf(plus) }),
      };
      await session.run(feeds, { into: { c: tensorOf(into) } });
      return into;
    },
    async release() {
      const made = [...sessions.values()];
      sessions.clear();
      for (const session of made) await (await session).release();
    },
  };
}

interface GemmKind {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly negate: boolean;
  readonly plus: boolean;
}

function gemmGraph({ transA, transB, negate, plus }: GemmKind): Graph {
  const builder = new GraphBuilder();
  const inputs = [
    builder.input("a", transA ? ["k", "m"] : ["m", "k"], "float64"),
    builder.input("b", transB ? ["n", "k"] : ["k", "n"], "float64"),
    ...(plus ? [builder.input("plus", ["m", "n"], "float64")] : []),
  ];
  builder.named("Gemm", inputs, "c", {
    transA: int(transA ? 1 : 0),
    transB: int(transB ? 1 : 0),
    alpha: float(negate ? -1 : 1),
  });
  builder.output("c", { dims: ["m", "n"], dtype: "float64" });
  return builder.graph;
}

function scaled(a: Matrix, factor: number): Matrix {
  if (factor === 1) return a;
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = factor * a.data[i]!;
  return matrix(a.rows, a.cols, out);
}

const tensorOf = (a: Matrix) => new Tensor("float64", a.data, [a.rows, a.cols]);
