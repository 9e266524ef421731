import { featuresOutput } from "../../src/encoder/batched-features.ts";
import type { DerivedPlan } from "../../src/onnx-vjp/compile/differentiable.ts";
import { forwardSession } from "../../src/onnx-vjp/compile/forward-session.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import type { Precision, Runtime, Session } from "../../src/onnx-vjp/graph/runtime.ts";

/** A session that computes an encoder's features alone, for the batch of `plan`. */
export function featuresSession(
  runtime: Runtime,
  { plain }: DerivedPlan,
  precision: Precision = "float32",
): Promise<Session> {
  const outputs = [{ name: featuresOutput, ...plain.types.get(featuresOutput)! }];
  return forwardSession(runtime, withoutDeadNodes({ ...plain, outputs }), precision);
}
