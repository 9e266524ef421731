import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { float, int } from "../../../src/onnx-vjp/graph/ir.ts";
import { alongAxes } from "../../support/along-axes.ts";
import { type Array64, array64, checkRule, randomArray, randomNumbers } from "../../support/check-rule.ts";

const size = fc.integer({ min: 1, max: 4 });
const epsilon = 1e-3;
const runs = { numRuns: 15 };

/** (x − mean)/√(var + ε), then element i of the slice times scale[i] plus bias[i]. */
function normalize(slice: number[], scale: (i: number) => number, bias: (i: number) => number): number[] {
  const mean = slice.reduce((sum, v) => sum + v, 0) / slice.length;
  const variance = slice.reduce((sum, v) => sum + (v - mean) ** 2, 0) / slice.length;
  return slice.map((v, i) => ((v - mean) / Math.sqrt(variance + epsilon)) * scale(i) + bias(i));
}

const positive = (x: Array64): Array64 =>
  array64(
    x.dims,
    x.data.map((v) => Math.fround(Math.abs(v) + 0.5)),
  );

describe("normalization rules", () => {
  it("LayerNormalization over trailing axes, with or without bias and statistics", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.boolean(),
        fc.constantFrom(1, 3),
        fc.subarray([0, 1, 2], { minLength: 1 }),
        fc.nat(),
        async (dims, pick, withBias, outputs, variables, seed) => {
          const random = randomNumbers(seed);
          const axis = pick % dims.length;
          const axes = dims.map((_, i) => i).slice(axis);
          const inputs = [randomArray(dims, random), randomArray(dims.slice(axis), random)];
          if (withBias) inputs.push(randomArray(dims.slice(axis), random));
          const chosen = variables.filter((i) => i < inputs.length);
          if (chosen.length === 0) chosen.push(0);
          await checkRule({
            op: "LayerNormalization",
            attributes: { axis: int(pick % 2 ? axis : axis - dims.length), epsilon: float(epsilon) },
            outputs,
            inputs: inputs.map((x, i) => ({ ...x, variable: chosen.includes(i) })),
            reference: ([x, scale, bias]) =>
              alongAxes(x!, axes, (slice) =>
                normalize(
                  slice,
                  (i) => scale!.data[i],
                  (i) => bias?.data[i] ?? 0,
                ),
              ),
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("SimplifiedLayerNormalization over the last axis, the one that it is lowered to, with or without its statistic", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(1, 2),
        fc.subarray([0, 1], { minLength: 1 }),
        fc.nat(),
        async (others, outputs, variables, seed) => {
          const random = randomNumbers(seed);
          const axis = others.length - 1;
          // A slice of one number is nearly ±1 whatever it is: its derivative is a cancellation.
          const dims = others.map((d, i) => (i === axis ? d + 1 : d));
          const inputs = [randomArray(dims, random), randomArray(dims.slice(axis), random)];
          await checkRule({
            op: "SimplifiedLayerNormalization",
            attributes: { axis: int(axis), epsilon: float(epsilon) },
            outputs,
            inputs: inputs.map((x, i) => ({ ...x, variable: variables.includes(i) })),
            reference: ([x, scale]) =>
              alongAxes(x!, [axis], (slice) => {
                const square = slice.reduce((sum, v) => sum + v * v, 0) / slice.length;
                return slice.map((v, i) => (v / Math.sqrt(square + epsilon)) * scale!.data[i]);
              }),
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("InstanceNormalization over all spatial axes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(size, size),
        fc.array(size, { minLength: 1, maxLength: 3 }),
        fc.subarray([0, 1, 2], { minLength: 1 }),
        fc.nat(),
        async ([n, channels], spatial, variables, seed) => {
          const random = randomNumbers(seed);
          const inputs = [
            randomArray([n, channels, ...spatial], random),
            randomArray([channels], random),
            randomArray([channels], random),
          ];
          await checkRule({
            op: "InstanceNormalization",
            attributes: { epsilon: float(epsilon) },
            inputs: inputs.map((x, i) => ({ ...x, variable: variables.includes(i) })),
            reference: ([x, scale, bias]) =>
              alongAxes(
                x!,
                spatial.map((_, i) => i + 2),
                (slice, index) =>
                  normalize(
                    slice,
                    () => scale!.data[index[1]!],
                    () => bias!.data[index[1]!],
                  ),
              ),
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("BatchNormalization with constant statistics", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(size, size),
        fc.array(size, { maxLength: 3 }),
        fc.nat(),
        async ([n, channels], spatial, seed) => {
          const random = randomNumbers(seed);
          const perChannel = () => randomArray([channels], random);
          const x = randomArray([n, channels, ...spatial], random);
          await checkRule({
            op: "BatchNormalization",
            attributes: { epsilon: float(epsilon) },
            inputs: [
              { ...x, variable: true },
              perChannel(),
              perChannel(),
              perChannel(),
              positive(perChannel()),
            ],
            reference: ([x, scale, bias, mean, variance]) => {
              const inner = x!.data.length / (n * channels);
              return array64(
                x!.dims,
                x!.data.map((v, i) => {
                  const k = Math.floor(i / inner) % channels;
                  const deviation = Math.sqrt(variance!.data[k] + epsilon);
                  return ((v - mean!.data[k]) / deviation) * scale!.data[k] + bias!.data[k];
                }),
              );
            },
            seed: seed + 1,
          });
        },
      ),
      runs,
    );
  });

  it("BatchNormalization in training mode is refused", async () => {
    const one = array64([1], [1]);
    const training = checkRule({
      op: "BatchNormalization",
      inputs: [{ ...array64([1, 1], [1]), variable: true }, { ...one, variable: true }, one, one, one],
      reference: ([x]) => x!,
    });
    await expect(training).rejects.toThrow(ModelError);
  });

  it.each([1, 2])("LpNormalization with p = %i along any axis", async (p) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        fc.nat(),
        async (others, pick, seed) => {
          const axis = pick % others.length;
          // A slice of one number is ±1 whatever it is: the derivative is zero and has no relative error.
          const dims = others.map((d, i) => (i === axis ? d + 1 : d));
          await checkRule({
            op: "LpNormalization",
            attributes: { axis: int(axis), p: int(p) },
            inputs: [{ ...randomArray(dims, randomNumbers(seed)), variable: true }],
            reference: ([x]) =>
              alongAxes(x!, [axis], (slice) => {
                const norm = slice.reduce((sum, v) => sum + Math.abs(v) ** p, 0) ** (1 / p);
                return slice.map((v) => v / norm);
              }),
            seed: seed + 1,
            step: 1e-6,
          });
        },
      ),
      runs,
    );
  });
});
