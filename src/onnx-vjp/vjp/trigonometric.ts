import { unary } from "./elementwise.ts";
import type { RuleTable } from "./rule.ts";

/** Circular and hyperbolic functions and their inverses; sine, cosine and tanh are in `elementwise.ts`. */
export const trigonometricRules: RuleTable = {
  Tan: unary(({ dy, y, add, mul }) => mul(dy, add(mul(y, y), 1))),
  Asin: unary(({ dy, x, sub, mul, div, sqrt }) => div(dy, sqrt(sub(1, mul(x, x))))),
  Acos: unary(({ dy, x, sub, mul, div, sqrt, neg }) => neg(div(dy, sqrt(sub(1, mul(x, x)))))),
  Atan: unary(({ dy, x, add, mul, div }) => div(dy, add(mul(x, x), 1))),
  // cosh x = √(1 + sinh² x)
  Sinh: unary(({ dy, y, add, mul, sqrt }) => mul(dy, sqrt(add(mul(y, y), 1)))),
  // sinh x = (eˣ − e⁻ˣ)/2
  Cosh: unary(({ dy, x, sub, mul, exp, neg }) => mul(dy, mul(sub(exp(x), exp(neg(x))), 0.5))),
  Asinh: unary(({ dy, x, add, mul, div, sqrt }) => div(dy, sqrt(add(mul(x, x), 1)))),
  Acosh: unary(({ dy, x, sub, mul, div, sqrt }) => div(dy, sqrt(sub(mul(x, x), 1)))),
  Atanh: unary(({ dy, x, sub, mul, div }) => div(dy, sub(1, mul(x, x)))),
};
