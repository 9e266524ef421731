import { GraphBuilder } from "../onnx-vjp/graph/builder.ts";
import { float, type Graph, int } from "../onnx-vjp/graph/ir.ts";
import type { Runtime, Session } from "../onnx-vjp/graph/runtime.ts";

/** A form of ONNX Runtime's Gemm, c = ±op(a) · op(b) (+ plus): its attributes are the graph's. */
export interface GemmForm {
  readonly dtype: "float32" | "float64";
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly negate?: boolean;
  readonly plus?: boolean;
}

/** A session for each form, made at its first use and kept. */
export function gemmSessions(runtime: Runtime): {
  of(form: GemmForm): Promise<Session>;
  release(): Promise<void>;
} {
  const sessions = new Map<string, Promise<Session>>();
  return {
    of(form) {
      const { dtype, transA = false, transB = false, negate = false, plus = false } = form;
      const key = `${dtype} ${transA} ${transB} ${negate} ${plus}`;
      const known = sessions.get(key);
      if (known !== undefined) return known;
      const made = runtime.session(gemmGraph({ dtype, transA, transB, negate, plus }));
      sessions.set(key, made);
      return made;
    },
    async release() {
      const made = [...sessions.values()];
      sessions.clear();
      for (const session of made) await (await session).release();
    },
  };
}

function gemmGraph({ dtype, transA, transB, negate, plus }: Required<GemmForm>): Graph {
  const builder = new GraphBuilder();
  const inputs = [
    builder.input("a", transA ? ["k", "m"] : ["m", "k"], dtype),
    builder.input("b", transB ? ["n", "k"] : ["k", "n"], dtype),
    ...(plus ? [builder.input("plus", ["m", "n"], dtype)] : []),
  ];
  builder.named("Gemm", inputs, "c", {
    transA: int(transA ? 1 : 0),
    transB: int(transB ? 1 : 0),
    alpha: float(negate ? -1 : 1),
  });
  builder.output("c", { dims: ["m", "n"], dtype });
  return builder.graph;
}
