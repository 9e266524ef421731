import { constantOf, numbersOf } from "../graph/constant.ts";
import { protoOfDataType } from "../graph/data-type.ts";
import { floatAttribute, float as floatOf, int, type Node } from "../graph/ir.ts";
import { type Arithmetic, arithmetic } from "./arithmetic.ts";
import { type Rule, type RuleContext, type RuleTable, sumTo } from "./rule.ts";
import { uncovered } from "./uncovered.ts";

/** The arithmetic of the element type of the node's first output. */
const mathOf = (c: RuleContext): Arithmetic => arithmetic(c.b, c.type(c.node.outputs[0]).dtype);

export interface Unary extends Arithmetic {
  readonly dy: string;
  readonly x: string;
  readonly y: string;
  readonly node: Node;
}

/**
 * The rule of y = f(x). Derivatives are written on y wherever it determines them: y is then the only value
 * the forward must keep, and it is one that the next operator often keeps anyway.
 */
export function unary(derivative: (u: Unary) => string): Rule {
  return (c, [dy]) => {
    const { node } = c;
    const dx = derivative({ ...mathOf(c), dy: dy!, x: node.inputs[0], y: node.outputs[0], node });
    return node.inputs.map((_, i) => (i === 0 ? dx : null));
  };
}

/** One partial derivative per input, each summed over the axes that its input was broadcast along. */
function broadcasting(...partials: ((c: RuleContext, dy: string, math: Arithmetic) => string)[]): Rule {
  return (c, [dy]) =>
    partials.map((partial, i) =>
      c.needs(i) ? sumTo(c.b, partial(c, dy!, mathOf(c)), c.outputDims(0), c.inputDims(i)) : null,
    );
}

/** No gradient: the derivative is zero wherever it exists. */
export const flat: Rule = (c) => c.node.inputs.map(() => null);

/** Add's and Sub's partials need no operator: the cotangent itself, so that both inputs can share it. */
const same = (_: RuleContext, dy: string) => dy;

const selu = { alpha: 1.6732631921768188, gamma: 1.0507010221481323 };

export const elementwiseRules: RuleTable = {
  Identity: unary(({ dy }) => dy),
  // Dropout at inference.
  Dropout: unary(({ dy }) => dy),
  Cast: (c, [dy]) => [c.b.op("Cast", [dy!], { to: int(protoOfDataType(c.type(c.node.inputs[0]).dtype)) })],

  Add: broadcasting(same, same),
  Sub: broadcasting(same, (_, dy, { neg }) => neg(dy)),
  Mul: (c, [dy]) => {
    const { mul } = mathOf(c);
    const [x, y] = c.node.inputs as [string, string];
    if (x === y) {
      const half = mul(dy!, x);
      return [half, half];
    }
    const gates = [gateSlope(c, x, y), gateSlope(c, y, x)];
    const gated = gates.findIndex((slope) => slope !== undefined);
    if (gated >= 0) {
      const dx = mul(dy!, gates[gated]!());
      return gated === 0 ? [dx, null] : [null, dx];
    }
    return broadcasting(
      () => mul(dy!, y),
      () => mul(dy!, x),
    )(c, [dy]);
  },
  // d(a/b) = da/b − (a/b)·db/b: the quotient is a forward value, and dy/b serves both.
  Div: (c, [dy]) => {
    const { div, mul, neg } = mathOf(c);
    const scaled = div(dy!, c.node.inputs[1]);
    return broadcasting(
      () => scaled,
      () => neg(mul(scaled, c.node.outputs[0])),
    )(c, [dy]);
  },
  Pow: broadcasting(powerOfBase, (c, dy, { mul, log, greater, where }) => {
    // x^p·log x where x is positive; 0 at x = 0, the limit for p > 0.
    const positive = greater(c.node.inputs[0], 0);
    const logarithm = log(where(positive, c.node.inputs[0], 1));
    return mul(dy, mul(c.node.outputs[0], logarithm));
  }),

  Neg: unary(({ dy, neg }) => neg(dy)),
  Sqrt: unary(({ dy, y, div, mul }) => div(mul(dy, 0.5), y)),
  Reciprocal: unary(({ dy, y, mul, neg }) => neg(mul(dy, mul(y, y)))),
  Exp: unary(({ dy, y, mul }) => mul(dy, y)),
  Log: unary(({ dy, x, div }) => div(dy, x)),
  // 0 at the kink, as torch.sign.
  Abs: unary(({ dy, x, greater, less, where, neg }) =>
    where(greater(x, 0), dy, where(less(x, 0), neg(dy), 0)),
  ),
  Sin: unary(({ dy, x, mul, cos }) => mul(dy, cos(x))),
  Cos: unary(({ dy, x, mul, sin, neg }) => neg(mul(dy, sin(x)))),
  Erf: unary(({ dy, x, mul, exp, neg }) => mul(mul(dy, 2 / Math.sqrt(Math.PI)), exp(neg(mul(x, x))))),
  // a − b·trunc(a/b): the remainder has the sign of a, as C's fmod.
  Mod: (c, [dy]) => {
    const { mul, div, neg, floor, abs, less, where } = mathOf(c);
    const [a, divisor] = c.node.inputs as [string, string];
    const whole = () => {
      const quotient = div(a, divisor);
      const size = floor(abs(quotient));
      return where(less(quotient, 0), neg(size), size);
    };
    return broadcasting(same, () => neg(mul(dy!, whole())))(c, [dy]);
  },
  Hardmax: flat,
  Floor: flat,
  Ceil: flat,
  Round: flat,
  Sign: flat,

  Sigmoid: unary(({ dy, y, mul, sub }) => mul(dy, mul(y, sub(1, y)))),
  Tanh: unary(({ dy, y, mul, sub }) => mul(dy, sub(1, mul(y, y)))),
  Softplus: unary(({ dy, x, mul, sigmoid }) => mul(dy, sigmoid(x))),
  Softsign: unary(({ dy, x, add, abs, mul, div }) => {
    const denominator = add(1, abs(x));
    return div(dy, mul(denominator, denominator));
  }),
  Mish: unary(({ dy, x, add, sub, mul, tanh, softplus, sigmoid }) => {
    const t = tanh(softplus(x));
    return mul(dy, add(t, mul(mul(x, sigmoid(x)), sub(1, mul(t, t)))));
  }),
  Relu: unary(({ dy, y, greater, masked }) => masked(dy, greater(y, 0))),
  LeakyRelu: unary(({ dy, x, y, node, greater, where, mul }) => {
    const alpha = floatAttribute(node, "alpha", 0.01);
    return where(greater(alpha >= 0 ? y : x, 0), dy, mul(dy, alpha));
  }),
  PRelu: broadcasting(
    (c, dy, { greater, where, mul }) => where(greater(c.node.inputs[0], 0), dy, mul(dy, c.node.inputs[1])),
    (c, dy, { greater, where, mul }) => where(greater(c.node.inputs[0], 0), 0, mul(dy, c.node.inputs[0])),
  ),
  // Below zero y = α(eˣ − 1), so y′ = y + α.
  Elu: unary(({ dy, x, y, node, greater, where, mul, add }) => {
    const alpha = floatAttribute(node, "alpha", 1);
    return where(greater(alpha >= 0 ? y : x, 0), dy, mul(dy, add(y, alpha)));
  }),
  // Below zero y = γα(eˣ − 1), so y′ = y + γα.
  Selu: unary(({ dy, y, node, greater, where, mul, add }) => {
    const alpha = floatAttribute(node, "alpha", selu.alpha);
    const gamma = floatAttribute(node, "gamma", selu.gamma);
    return mul(dy, where(greater(y, 0), gamma, add(y, gamma * alpha)));
  }),
  // Below zero y = α(e^(x/α) − 1), so y′ = y/α + 1.
  Celu: unary(({ dy, y, node, greater, where, mul, add }) => {
    const alpha = floatAttribute(node, "alpha", 1);
    return mul(dy, where(greater(y, 0), 1, add(mul(y, 1 / alpha), 1)));
  }),
  ThresholdedRelu: unary(({ dy, x, node, greater, masked }) =>
    masked(dy, greater(x, floatAttribute(node, "alpha", 1))),
  ),
  HardSigmoid: unary(({ dy, y, node, greater, less, and, masked, mul }) =>
    masked(mul(dy, floatAttribute(node, "alpha", 0.2)), and(greater(y, 0), less(y, 1))),
  ),
  // y = x·g, g = min(max(x/6 + 1/2, 0), 1): g + x/6 where 0 < g < 1, and there x/6 = g − 1/2.
  HardSwish: (c, [dy]) => {
    const { mul, add, sub, greater, less, and, float } = mathOf(c);
    const g = c.b.op("HardSigmoid", [c.node.inputs[0]], { alpha: floatOf(1 / 6), beta: floatOf(0.5) });
    const inside = float(and(greater(g, 0), less(g, 1)));
    return [mul(dy!, add(g, mul(sub(g, 0.5), inside)))];
  },

  Clip: clip,
  Where: (c, [dy]) => {
    const { where } = mathOf(c);
    const condition = c.node.inputs[0];
    const sum = (i: number, value: string) => sumTo(c.b, value, c.outputDims(0), c.inputDims(i));
    return [
      null,
      c.needs(1) ? sum(1, where(condition, dy!, 0)) : null,
      c.needs(2) ? sum(2, where(condition, 0, dy!)) : null,
    ];
  },
  Min: extremum,
  Max: extremum,
};

/**
 * The derivative of x·g(x), the SiLU and HardSwish of exporters, where `gate` is g(x): one factor in place of two
 * products' pullbacks and their sum, made of the forward's values alone. It is what the forward then keeps, instead
 * of both x and g(x). Undefined for any other pair.
 */
function gateSlope(c: RuleContext, x: string, gate: string): (() => string) | undefined {
  const node = c.producer(gate);
  if (node?.domain !== "" || node.inputs[0] !== x) return undefined;
  const { mul, add, sub, greater, less, and, float } = mathOf(c);
  switch (node.op) {
    // σ + x·σ·(1 − σ). 1 − σ is written as a HardSigmoid that never clips: convolutions' blocked layout stays.
    case "Sigmoid":
      return () => {
        const rest = c.b.op("HardSigmoid", [gate], { alpha: floatOf(-1), beta: floatOf(1) });
        return add(gate, mul(c.node.outputs[0], rest));
      };
    // g + x·g′ with g = αx + β between 0 and 1, so that there x·g′ = g − β.
    case "HardSigmoid":
      return () => {
        const inside = float(and(greater(gate, 0), less(gate, 1)));
        return add(gate, mul(sub(gate, floatAttribute(node, "beta", 0.5)), inside));
      };
    default:
      return undefined;
  }
}

/** dx = dy·p·x^(p−1), without a power where the exponent is a usual constant. */
function powerOfBase(c: RuleContext, dy: string, math: Arithmetic): string {
  const { mul, div, neg, pow, sub, equal, where, float } = math;
  const [x, exponent] = c.node.inputs as [string, string];
  const y = c.node.outputs[0];
  const { dtype } = c.type(x);
  const constant = c.constant(exponent);
  // Of p = 0 nothing is left: x⁰ in place of x⁻¹, which is infinite at x = 0.
  if (constant === undefined) {
    const p = c.type(exponent).dtype === dtype ? exponent : float(exponent);
    return mul(mul(dy, p), pow(x, where(equal(p, 0), 0, sub(p, 1))));
  }
  const powers = numbersOf(constant);
  if (powers.length === 1) {
    const p = powers[0];
    if (p === 2) return mul(dy, mul(x, 2));
    if (p === 3) return mul(dy, mul(mul(x, x), 3));
    if (p === 0.5) return div(mul(dy, 0.5), y);
    if (p === -1) return neg(mul(dy, mul(y, y)));
  }
  const array = (values: Float64Array) => c.b.constant(constantOf(dtype, constant.dims, values));
  const lowered = powers.map((p) => (p === 0 ? 0 : p - 1));
  return mul(dy, mul(pow(x, array(lowered)), array(powers)));
}

/**
 * Open at both ends: an element that sits on a bound gets no gradient, as in torch.nn.functional.relu6, so
 * that the mask can be read from the output.
 */
function clip(c: RuleContext, [dy]: readonly (string | undefined)[]): (string | null)[] {
  const { greater, less, and, masked } = mathOf(c);
  const y = c.node.outputs[0];
  if (c.needs(1) || c.needs(2)) throw uncovered(c.node, "computes its bounds from the image");
  // Exporters write "no bound" as the largest float, too.
  const bound = (i: number): string | undefined => {
    const name = c.node.inputs[i] ?? "";
    const constant = c.constant(name);
    const unlimited = constant !== undefined && Math.abs(numbersOf(constant)[0]) >= 3.4e38;
    return name === "" || unlimited ? undefined : name;
  };
  const [low, high] = [bound(1), bound(2)];
  const masks = [
    ...(low === undefined ? [] : [greater(y, low)]),
    ...(high === undefined ? [] : [less(y, high)]),
  ];
  const dx = masks.length === 0 ? dy! : masked(dy!, masks.reduce(and));
  return c.node.inputs.map((_, i) => (i === 0 ? dx : null));
}

/** Min and Max: the cotangent goes to the inputs that attain the extremum, in equal shares. */
function extremum(c: RuleContext, [dy]: readonly (string | undefined)[]): (string | null)[] {
  const { equal, float, add, div, where } = mathOf(c);
  const y = c.node.outputs[0];
  if (c.node.inputs.length === 1) return [dy!];
  const attains = c.node.inputs.map((x) => equal(x, y));
  const share = div(dy!, attains.map(float).reduce(add));
  return attains.map((mask, i) =>
    c.needs(i) ? sumTo(c.b, where(mask, share, 0), c.outputDims(0), c.inputDims(i)) : null,
  );
}
