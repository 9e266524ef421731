import { featuresOutput } from "../src/encoder/encoder.ts";
import { withoutDeadNodes } from "../src/graph/simplify.ts";
import { blockedSession } from "../src/runtime/blocked-session.ts";
import type { DerivedPlan } from "../src/runtime/differentiable.ts";
import type { Runtime, Session } from "../src/runtime/runtime.ts";

/** A session that computes an encoder's features alone, for the batch of `plan`. */
export function featuresSession(runtime: Runtime, { plain }: DerivedPlan): Promise<Session> {
  const outputs = [{ name: featuresOutput, ...plain.types.get(featuresOutput)! }];
  return blockedSession(runtime, withoutDeadNodes({ ...plain, outputs }));
}
