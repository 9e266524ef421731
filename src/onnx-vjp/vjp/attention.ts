import { fromFront, intAttribute } from "../graph/ir.ts";
import type { RuleContext, RuleTable } from "./rule.ts";

/** Softmax and its logarithm, both from their own output. */
export const attentionRules: RuleTable = {
  // dx = y ∘ (dy − Σ dy∘y)
  Softmax: (c, [dy]) => {
    const y = c.node.outputs[0];
    const row = sumAlong(c, c.b.op("Mul", [dy!, y]));
    return [c.b.op("Mul", [y, c.b.op("Sub", [dy!, row])])];
  },

  // dx = dy − exp(y)·Σ dy
  LogSoftmax: (c, [dy]) => {
    const spread = c.b.op("Mul", [c.b.op("Exp", [c.node.outputs[0]]), sumAlong(c, dy!)]);
    return [c.b.op("Sub", [dy!, spread])];
  },
};

/** The sum along the op's axis, kept as a dimension of 1. */
function sumAlong(c: RuleContext, value: string): string {
  const axis = fromFront(intAttribute(c.node, "axis", -1), c.inputDims(0).length);
  return c.b.reduceSum(value, [axis], true);
}
