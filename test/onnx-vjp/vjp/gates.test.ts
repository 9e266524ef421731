import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { float } from "../../../src/onnx-vjp/graph/ir.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { awayFrom } from "../../support/reference.ts";

const dims = [2, 3, 5];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Σ cotangent·f(x) differentiated by central differences in double. */
function numeric(f: (x: number) => number, x: Float64Array, cotangent: Float64Array): Float64Array {
  return x.map((v, i) => (cotangent[i] * (f(v + 1e-6) - f(v - 1e-6))) / 2e-6);
}

describe("an input times a gate of itself", () => {
  const cases = [
    {
      name: "SiLU",
      gate: (b: GraphBuilder, x: string) => b.op("Sigmoid", [x]),
      value: sigmoid,
      kinks: [],
    },
    {
      name: "HardSwish of two nodes",
      gate: (b: GraphBuilder, x: string) => b.op("HardSigmoid", [x], { alpha: float(0.4), beta: float(0.3) }),
      value: (x: number) => Math.min(1, Math.max(0, 0.4 * x + 0.3)),
      kinks: [-0.75, 1.75],
    },
  ];
  it.each(cases)("$name", async ({ gate, value, kinks }) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.boolean(), fc.boolean(), async (seed, reversed, alsoRead) => {
        const x = awayFrom(kinks, dims, seed, 4, 0.01);
        const cotangent = randomArray(dims, randomNumbers(seed + 1));
        const b = new GraphBuilder();
        const input = b.input("x", dims);
        const g = gate(b, input);
        const y = b.op("Mul", reversed ? [g, input] : [input, g]);
        // A gate that something else reads as well gets that cotangent, too.
        const out = alsoRead ? b.op("Add", [y, g]) : y;
        b.output(out, { dims });
        const { gradients } = await pullbackOf(b.graph, { x }, ["x"], [cotangent]);
        const f = (v: number) => v * value(v) + (alsoRead ? value(v) : 0);
        const expected = numeric(f, x.data, cotangent.data);
        expect(relativeError(gradients[0], expected)).toBeLessThan(1e-4);
      }),
      { numRuns: 20 },
    );
  });
});
