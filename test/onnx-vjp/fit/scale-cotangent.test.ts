import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import { toHalfPrecision } from "../../../src/onnx-vjp/fit/half-precision.ts";
import { gradientSize, scaleCotangent, scaleInput } from "../../../src/onnx-vjp/fit/scale-cotangent.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import type { Graph } from "../../../src/onnx-vjp/graph/ir.ts";
import type { Runtime } from "../../../src/onnx-vjp/graph/runtime.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { type Array64, randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { roundingRuntime } from "../../support/half-rounding.ts";
import { tensorOf } from "../../support/pullback.ts";

const runtime = nodeRuntime({ threads: 1 });
const random = randomNumbers(1);
const dims = { x: [3, 4], factor: [5], y: [3, 5] };
const inputs = { x: randomArray(dims.x, random), factor: randomArray(dims.factor, random) };
const cotangent = randomArray(dims.y, random);
const times = (x: Array64, scale: number): Array64 => ({ ...x, data: x.data.map((value) => value * scale) });

/** The pullback of tanh(xW)·factor, with respect to x and the factor. */
async function pullback(): Promise<{ graph: Graph; cotangent: string; gradients: readonly string[] }> {
  const b = new GraphBuilder();
  const w = b.floats([4, 5], randomArray([4, 5], randomNumbers(2)).data);
  const y = b.op("Tanh", [b.op("MatMul", [b.input("x", dims.x), w])]);
  b.output(b.op("Mul", [y, b.input("factor", dims.factor)]), { dims: dims.y }, "y");
  const plan = planDerivative(await trace(runtime, b.graph, inputDims()), ["x", "factor"], "y");
  return { graph: plan.joint, cotangent: plan.cotangents[0], gradients: plan.gradients };
}
const inputDims = () => ({ x: dims.x, factor: dims.factor });

interface Result {
  readonly gradients: readonly Float32Array[];
  readonly size: number;
}

/** The gradients of a cotangent by a pullback that scales, or by one that does not where no scale is given. */
async function gradientsOf(
  given: Array64,
  { scale, half, on = runtime }: { scale?: number; half?: boolean; on?: Runtime } = {},
): Promise<Result> {
  const { graph, cotangent: name, gradients } = await pullback();
  const narrowed = half ? toHalfPrecision(graph).graph : graph;
  const scaled = scale === undefined ? narrowed : scaleCotangent(narrowed, [name], gradients);
  const session = await on.session(scaled);
  const results = await session.run({
    x: tensorOf(inputs.x),
    factor: tensorOf(inputs.factor),
    [name]: tensorOf(given),
    ...(scale === undefined ? {} : { [scaleInput]: new Tensor("float32", Float32Array.of(scale), [1]) }),
  });
  await session.release();
  return {
    gradients: gradients.map((gradient) => results[gradient].data as Float32Array),
    size: (results[gradientSize]?.data as Float32Array | undefined)?.[0] ?? 0,
  };
}

const sumOfSizes = (arrays: readonly Float32Array[]) =>
  arrays.reduce((sum, array) => sum + array.reduce((part, value) => part + Math.abs(value), 0), 0);

describe("scaleCotangent", () => {
  it.each([1, 2 ** 20, 2 ** -20, 3])(
    "gives the gradients of the cotangent itself at a scale of %d",
    async (scale) => {
      const expected = await gradientsOf(cotangent);
      const { gradients, size } = await gradientsOf(cotangent, { scale });
      for (const [i, gradient] of gradients.entries()) {
        expect(relativeError(gradient, expected.gradients[i])).toBeLessThan(1e-6);
      }
      const sum = scale * sumOfSizes(expected.gradients);
      expect(Math.abs(size / sum - 1)).toBeLessThan(1e-5);
    },
  );

  it("declares the scale and the sum, and keeps the graph's own inputs and outputs", async () => {
    const { graph, cotangent: name, gradients } = await pullback();
    const scaled = scaleCotangent(graph, [name], gradients);
    expect(scaled.inputs).toEqual([...graph.inputs, { name: scaleInput, dtype: "float32", dims: [1] }]);
    expect(scaled.outputs.slice(0, -1)).toEqual(graph.outputs);
    expect(scaled.outputs.at(-1)).toMatchObject({ name: gradientSize, dtype: "float32" });
  });

  it("keeps small gradients in half precision, which vanish without it", async () => {
    const small = times(cotangent, 2 ** -26);
    const expected = await gradientsOf(small);
    const errors = async (scale: number) => {
      const { gradients } = await gradientsOf(small, { scale, half: true, on: roundingRuntime });
      return gradients.map((gradient, i) => relativeError(gradient, expected.gradients[i]));
    };
    for (const error of await errors(1)) expect(error).toBeGreaterThan(0.3);
    for (const error of await errors(2 ** 26)) expect(error).toBeLessThan(5e-3);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    "has a sum that is not finite where one number of one gradient is %d",
    async (bad) => {
      const broken = { ...cotangent, data: cotangent.data.map((value, i) => (i === 7 ? bad : value)) };
      const { size, gradients } = await gradientsOf(broken, { scale: 4 });
      expect(gradients[1].filter(Number.isFinite)).toHaveLength(4);
      expect(Number.isFinite(size)).toBe(false);
    },
  );

  it("has a sum that is not finite where half precision ends on the way", async () => {
    const at = (scale: number) => gradientsOf(cotangent, { scale, half: true, on: roundingRuntime });
    expect(Number.isFinite((await at(2 ** 20)).size)).toBe(false);
    expect(Number.isFinite((await at(2 ** 10)).size)).toBe(true);
  });
});
