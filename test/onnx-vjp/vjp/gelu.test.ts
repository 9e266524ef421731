import fc from "fast-check";
import { describe, it } from "vitest";
import { type Attributes, float } from "../../../src/onnx-vjp/graph/ir.ts";
import { array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";

/** erf by its Maclaurin series, summed until the terms vanish: exact to 1e-12 for |x| < 4. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const functions: [string, Attributes, (x: number) => number][] = [
  ["Gelu", {}, (x) => 0.5 * x * (1 + erf(x / Math.SQRT2))],
  ["FastGelu", {}, (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  ["QuickGelu", {}, (x) => x * sigmoid(1.702 * x)],
  ["QuickGelu", { alpha: float(1) }, (x) => x * sigmoid(x)],
];

describe("gelu rules", () => {
  it.each(functions)("com.microsoft.%s", async (op, attributes, f) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
        fc.nat(),
        async (dims, seed) => {
          await checkRule({
            op,
            domain: "com.microsoft",
            attributes,
            inputs: [{ ...randomArray(dims, randomNumbers(seed), 5), variable: true }],
            reference: ([x]) => array64(dims, x!.data.map(f)),
            seed: seed + 1,
          });
        },
      ),
      { numRuns: 15 },
    );
  });
});
