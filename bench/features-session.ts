import { featuresOutput } from "../src/encoder/encoder.ts";
import { withoutDeadNodes } from "../src/graph/simplify.ts";
import type { DerivedPlan } from "../src/runtime/differentiable.ts";
import { forwardSession } from "../src/runtime/forward-session.ts";
import type { Precision, Runtime, Session } from "../src/runtime/runtime.ts";

/** A session that computes an encoder's features alone, for the batch of `plan`. */
export function featuresSession(
  runtime: Runtime,
  { plain }: DerivedPlan,
  precision: Precision = "float32",
): Promise<Session> {
  const outputs = [{ name: featuresOutput, ...plain.types.get(featuresOutput)! }];
  return forwardSession(runtime, withoutDeadNodes({ ...plain, outputs }), precision);
}
