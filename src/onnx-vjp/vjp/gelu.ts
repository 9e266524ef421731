import { float, floatAttribute } from "../graph/ir.ts";
import { type Arithmetic, arithmetic } from "./arithmetic.ts";
import type { Rule, RuleContext, RuleTable } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

/**
 * The Gaussian error linear unit and its approximations, as the fused operators that ONNX Runtime has on
 * every device (fusing and lowering put them in place of the chains that exporters write). The derivatives
 * come from the input alone, so that it is all the forward must keep, and are short of nodes: these are the
 * largest tensors of a Vision Transformer, and every node is a pass over memory.
 */
export const geluRules: RuleTable = {
  // y = x·Φ(x): Φ(x) + x·φ(x), on u = x/√2. Φ = (erf(u) + 1)/2 is one node as a HardSigmoid that never clips.
  "com.microsoft.Gelu": gate(({ b }, x, { mul, sub, exp, add }) => {
    const u = mul(x, Math.SQRT1_2);
    const density = mul(u, exp(sub(Math.log(1 / Math.sqrt(Math.PI)), mul(u, u))));
    const distribution = b.op("HardSigmoid", [b.op("Erf", [u])], { alpha: float(0.5), beta: float(0.5) });
    return add(distribution, density);
  }),

  // y = x·σ(v), v = x·(a + b·x²), a = 2√(2/π), b = 0.044715·a (the tanh form, as tanh(t) = 2σ(2t) − 1):
  // σ(v)·(1 + (1 − σ(v))·x·v′) with x·v′ = 3v − 2a·x
  "com.microsoft.FastGelu": gate((_, x, { mul, add, sub, sigmoid }) => {
    const a = 2 * Math.sqrt(2 / Math.PI);
    const v = mul(x, add(mul(mul(x, x), 0.044715 * a), a));
    const p = sigmoid(v);
    const slope = sub(mul(v, 3), mul(x, 2 * a));
    return mul(p, add(mul(sub(1, p), slope), 1));
  }),

  // y = x·σ(αx): σ(αx)·(1 + αx·(1 − σ(αx)))
  "com.microsoft.QuickGelu": gate(({ node }, x, { mul, add, sub, sigmoid }) => {
    const alpha = floatAttribute(node, "alpha", 1.702);
    const v = alpha === 1 ? x : mul(x, alpha);
    const p = sigmoid(v);
    return mul(p, add(mul(v, sub(1, p)), 1));
  }),
};

/** The rule of a function of one input, given its derivative. */
function gate(derivative: (c: RuleContext, x: string, math: Arithmetic) => string): Rule {
  return (c, [dy]) => {
    const [x, bias = ""] = c.node.inputs as readonly [string, string?];
    if (bias !== "") throw uncovered(c.node, "adds a bias to its input");
    const math = arithmetic(c.b, c.type(x).dtype);
    const dx = math.mul(dy!, derivative(c, x, math));
    return c.node.inputs.map((_, i) => (i === 0 ? dx : null));
  };
}
