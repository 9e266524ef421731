import fc from "fast-check";
import { describe, it } from "vitest";
import { int } from "../../../src/onnx-vjp/graph/ir.ts";
import { alongAxes } from "../../support/along-axes.ts";
import { type Array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";

const softmax = (x: Array64, axis: number): Array64 =>
  alongAxes(x, [axis], (row) => {
    const top = Math.max(...row);
    const total = row.reduce((sum, v) => sum + Math.exp(v - top), 0);
    return row.map((v) => Math.exp(v - top) / total);
  });

const logSoftmax = (x: Array64, axis: number): Array64 => {
  const y = softmax(x, axis);
  return { dims: y.dims, data: y.data.map(Math.log) };
};

describe("attention rules", () => {
  it.each([
    ["Softmax", softmax],
    ["LogSoftmax", logSoftmax],
  ] as const)("%s along any axis", async (op, reference) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.boolean(),
        fc.nat(),
        async (dims, pick, negative, seed) => {
          const axis = pick % dims.length;
          await checkRule({
            op,
            attributes: pick === 0 ? {} : { axis: int(negative ? axis - dims.length : axis) },
            inputs: [{ ...randomArray(dims, randomNumbers(seed), 3), variable: true }],
            reference: ([x]) => reference(x!, pick === 0 ? dims.length - 1 : axis),
            seed: seed + 1,
          });
        },
      ),
      { numRuns: 20 },
    );
  });
});
