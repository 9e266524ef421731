import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { NumericalError } from "../../../src/errors.ts";
import {
  type Activations,
  compileDerivative,
  type Differentiable,
} from "../../../src/onnx-vjp/compile/differentiable.ts";
import { type DerivedPlan, planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import { scaleInput } from "../../../src/onnx-vjp/fit/scale-cotangent.ts";
import { GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { float, int, ints } from "../../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../../src/onnx-vjp/graph/live.ts";
import { readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import type { Precision, Runtime } from "../../../src/onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { trace } from "../../../src/onnx-vjp/prepare/trace.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../../support/check-rule.ts";
import { roundingRuntime } from "../../support/half-rounding.ts";
import { tensorOf } from "../../support/pullback.ts";

const runtime = nodeRuntime({ threads: 1 });
const imageDims = [2, 3, 8, 8];
const imageOf = (seed: number) => tensorOf(randomArray(imageDims, randomNumbers(seed)));
const cotangentOf = (size: number, scale = 1) =>
  Float32Array.from(randomArray([size], randomNumbers(4)).data, (value) => value * scale);
const modes: [string, Activations, Runtime][] = [
  ["saved, on the CPU", "save", runtime],
  ["computed again, on the CPU", "recompute", runtime],
  ["saved, each value rounded", "save", roundingRuntime],
  ["computed again, each value rounded", "recompute", roundingRuntime],
];

/** A small Vision Transformer: patches, a block of attention and one of two layers, the mean of the tokens. */
async function transformer(): Promise<DerivedPlan> {
  const width = 12;
  const random = randomNumbers(1);
  const b = new GraphBuilder();
  const weight = (...dims: number[]) => b.floats(dims, randomArray(dims, random, dims[0] ** -0.5).data);
  const linear = (x: string, from: number, to: number) =>
    b.op("Add", [b.op("MatMul", [x, weight(from, to)]), weight(to)]);
  const norm = (x: string) =>
    b.op("LayerNormalization", [x, weight(width), weight(width)], { epsilon: float(1e-6) });
  const normalized = b.op("Div", [b.op("Sub", [b.input("image", imageDims), b.scalar(0.4)]), b.scalar(0.2)]);
  const patches = b.op("Conv", [normalized, weight(width, 3, 4, 4), weight(width)], {
    strides: ints([4, 4]),
  });
  const tokens = b.transpose(b.reshape(patches, [2, width, 4]), [0, 2, 1]);
  const y = norm(tokens);
  const scores = b.op("MatMul", [linear(y, width, width), b.exchange(linear(y, width, width), 3)]);
  const shares = b.op("Softmax", [b.op("Mul", [scores, b.scalar(width ** -0.5)])]);
  const attended = b.op("Add", [tokens, b.op("MatMul", [shares, linear(y, width, width)])]);
  const inner = b.op("Gelu", [linear(norm(attended), width, 2 * width)], {}, "com.microsoft");
  const outer = b.op("Add", [attended, linear(inner, 2 * width, width)]);
  const feature = b.op("ReduceMean", [norm(outer), b.ints([1])], { keepdims: int(0) });
  b.output(feature, { dims: [2, width] }, "feature");
  return planDerivative(await prepareGraph(runtime, b.graph, { image: imageDims }), ["image"], "feature");
}

/** A product with a matrix of `gain`s after the other: each makes numbers about 4 times `gain` larger. */
async function products(count: number, gain: number): Promise<DerivedPlan> {
  const b = new GraphBuilder();
  const random = randomNumbers(2);
  const matrix = () => Float64Array.from({ length: 16 }, () => gain * (1 + 0.1 * random()));
  let y = b.input("image", [2, 4]);
  for (let i = 0; i < count; i++) y = b.op("MatMul", [y, b.floats([4, 4], matrix())]);
  b.output(y, { dims: [2, 4] }, "feature");
  return planDerivative(await trace(runtime, b.graph, { image: [2, 4] }), ["image"], "feature");
}

interface Options {
  readonly precision?: Precision;
  readonly activations?: Activations;
  readonly on?: Runtime;
}

/** What `use` makes of a compiled plan. */
async function compiled<T>(
  plan: DerivedPlan,
  { precision = "float32", activations = "recompute", on = runtime }: Options,
  use: (f: Differentiable) => Promise<T>,
): Promise<T> {
  const f = await compileDerivative(on, plan, activations, { precision });
  try {
    return await use(f);
  } finally {
    await f.release();
  }
}

/** The features and the gradient of an image for each of the cotangents. */
const resultsOf = (
  plan: DerivedPlan,
  image: Tensor,
  cotangents: readonly Float32Array[],
  options: Options = {},
): Promise<{ value: Float32Array; gradients: Float32Array[] }> =>
  compiled(plan, options, async (f) => {
    const { value, saved } = await f.forward({ image });
    const gradients: Float32Array[] = [];
    for (const cotangent of cotangents) {
      gradients.push(Float32Array.from((await f.pullback({ image }, saved, cotangent)).image!));
    }
    return { value, gradients };
  });

describe("a function in half precision", () => {
  it.each(modes)("has the features and the gradient of float32 (%s)", async (_, activations, on) => {
    const plan = await transformer();
    const [image, cotangent] = [imageOf(1), cotangentOf(24)];
    const expected = await resultsOf(plan, image, [cotangent]);
    const actual = await resultsOf(plan, image, [cotangent], { precision: "float16", activations, on });
    const errors = [
      relativeError(actual.value, expected.value),
      relativeError(actual.gradients[0], expected.gradients[0]),
    ];
    for (const error of errors) {
      expect(error).toBeLessThan(1e-2);
      expect(error).toBeGreaterThan(1e-5);
    }
  });

  it.each(modes)("has as good a gradient of a cotangent of any size (%s)", async (_, activations, on) => {
    const plan = await transformer();
    const [image, one] = [imageOf(1), cotangentOf(24)];
    const [gradient] = (await resultsOf(plan, image, [one])).gradients;
    const scales = [1, 1e-7, 1e-30, 1e7];
    const given = scales.map((scale) => cotangentOf(24, scale));
    const half = await resultsOf(plan, image, given, { precision: "float16", activations, on });
    for (const [i, scale] of scales.entries()) {
      const back = half.gradients[i].map((value) => value / scale);
      expect(relativeError(back, gradient!)).toBeLessThan(1e-2);
    }
    // A power of two changes no digit.
    const small = one.map((value) => value * 2 ** -24);
    const [a, b] = (await resultsOf(plan, image, [one, small], { precision: "float16", activations, on }))
      .gradients;
    expect(b).toEqual(a!.map((value) => value * 2 ** -24));
  });

  it("hands over what it keeps in half precision, and takes it again", async () => {
    const plan = await transformer();
    const options = { precision: "float16", activations: "save" } as const;
    const types = await compiled(plan, options, async (f) => {
      const { saved } = await f.forward({ image: imageOf(1) });
      return Object.values(saved).map((tensor) => tensor.type);
    });
    // Statistics and exponentials are float32.
    expect(new Set(types)).toEqual(new Set(["float16", "float32"]));
    expect(await compiled(plan, { precision: "float16" }, async (f) => f.savedBytes)).toBe(0);
  });

  it("writes kept values over those of another call, and gradients where they are wanted", async () => {
    const plan = await transformer();
    const [first, second, cotangent] = [imageOf(1), imageOf(2), cotangentOf(24)];
    const options = { precision: "float16", activations: "save" } as const;
    const expected = await resultsOf(plan, second, [cotangent], options);
    await compiled(plan, options, async (f) => {
      const { saved } = await f.forward({ image: first });
      const again = await f.forward({ image: second }, saved);
      expect(again.value).toEqual(expected.value);
      for (const [name, tensor] of Object.entries(saved)) expect(again.saved[name]).toBe(tensor);
      const image = new Float32Array(second.size);
      const gradients = await f.pullback({ image: second }, again.saved, cotangent, { image });
      expect(gradients.image).toBe(image);
      expect(image).toEqual(expected.gradients[0]);
    });
  });

  it("has no gradient where the cotangent is zero", async () => {
    const options = { precision: "float16" } as const;
    const { gradients } = await resultsOf(await transformer(), imageOf(1), [new Float32Array(24)], options);
    expect(gradients[0].every((value) => value === 0)).toBe(true);
  });
});

describe("the scale of a cotangent", () => {
  /** The scales that a pullback of a cotangent, which may be refused, is run with. */
  async function scalesOf(cotangent: Float32Array): Promise<number[]> {
    const scales: number[] = [];
    const on: Runtime = {
      ...runtime,
      async session(graph, options) {
        const session = await runtime.session(graph, options);
        return {
          ...session,
          run(feeds, given) {
            const scale = feeds[scaleInput];
            if (scale !== undefined) scales.push((scale.data as Float32Array)[0]);
            return session.run(feeds, given);
          },
        };
      },
    };
    const image = tensorOf(randomArray([2, 4], randomNumbers(3)));
    await resultsOf(await products(1, 1), image, [cotangent], { precision: "float16", on }).catch(() => {});
    return scales;
  }

  it.each([0.3, -0.3, 1, -5, 16, -17, 1e-7, 3e-30, 1e20])(
    "is a power of two that makes %d to 8 to 16",
    async (peak) => {
      const scales = await scalesOf(
        Float32Array.of(0, 0.1, -0.2, 0.5, 0.4, 1, 0, -0.9).map((value) => value * peak),
      );
      expect(scales).toHaveLength(1);
      expect(Number.isInteger(Math.log2(scales[0]))).toBe(true);
      expect(scales[0] * Math.abs(peak)).toBeGreaterThan(8);
      expect(scales[0] * Math.abs(peak)).toBeLessThanOrEqual(16);
    },
  );

  it("is a number of float32 for the smallest cotangent", async () => {
    const [scale] = await scalesOf(new Float32Array(8).fill(2 ** -149));
    expect(scale).toBe(2 ** 127);
  });

  it("is 1 where there is nothing to scale", async () => {
    expect(await scalesOf(new Float32Array(8))).toEqual([1]);
  });

  it("is made smaller three times", async () => {
    const bad = Float32Array.of(0, 1, 2, Number.NaN, 4, 5, 6, 7);
    expect(await scalesOf(bad)).toEqual([1, 2 ** -6, 2 ** -12, 2 ** -18]);
  });
});

describe("a gradient that leaves half precision on its way", () => {
  const image = () => tensorOf(randomArray([2, 4], randomNumbers(3)));
  const options = { precision: "float16", on: roundingRuntime } as const;

  it("is computed of a smaller cotangent", async () => {
    const plan = await products(2, 1000);
    for (const scale of [1, 1e-7]) {
      const cotangent = cotangentOf(8, scale);
      const expected = await resultsOf(plan, image(), [cotangent]);
      const buffer = new Float32Array(8);
      const gradient = await compiled(plan, options, async (f) => {
        const { saved } = await f.forward({ image: image() });
        return (await f.pullback({ image: image() }, saved, cotangent, { image: buffer })).image!;
      });
      expect(relativeError(gradient, expected.gradients[0])).toBeLessThan(5e-3);
      expect(gradient).toBe(buffer);
    }
  });

  it("is refused where none is small enough", async () => {
    const plan = await products(3, 1000);
    const cotangent = cotangentOf(8);
    const expected = await resultsOf(plan, image(), [cotangent]);
    expect(expected.gradients[0].every(Number.isFinite)).toBe(true);
    const refused = resultsOf(plan, image(), [cotangent], options);
    await expect(refused).rejects.toThrow(NumericalError);
    await expect(refused).rejects.toThrow("Run it in float32");
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("is refused where the cotangent is %d", async (bad) => {
    const cotangent = cotangentOf(8).fill(bad, 3, 4);
    for (const on of [runtime, roundingRuntime]) {
      const refused = resultsOf(await products(1, 1), image(), [cotangent], { ...options, on });
      await expect(refused).rejects.toThrow(NumericalError);
    }
  });
});

interface Meta {
  readonly input: string;
  readonly feature: string;
  readonly inputShape: readonly number[];
  readonly featureShape: readonly number[];
}

describe("a network without kinks in half precision", () => {
  const names = ["clip-dynamo23", "convnext-v2-dynamo18", "dinov2-dynamo20", "swin-v2-dynamo18"];
  it.each(names)("%s has the features and the gradient of float32", async (name) => {
    const file = (path: string) =>
      readFile(fileURLToPath(new URL(`../../fixtures/models/${name}/${path}`, import.meta.url)));
    const meta = JSON.parse((await file("meta.json")).toString()) as Meta;
    const read = await readOnnx(await file("model.onnx"), name);
    const outputs = [{ name: meta.feature, dtype: "float32" as const, dims: [] }];
    const cut = withoutDeadNodes({ ...read, outputs });
    const prepared = await prepareGraph(runtime, cut, { [meta.input]: meta.inputShape });
    const plan = planDerivative(prepared, [meta.input], meta.feature);
    const feeds = { [meta.input]: tensorOf(randomArray(meta.inputShape, randomNumbers(1))) };
    const cotangent = cotangentOf(
      meta.featureShape.reduce((product, d) => product * d),
      1e-7,
    );
    const of = (options: Options) =>
      compiled(plan, options, async (f) => {
        const { value, saved } = await f.forward(feeds);
        return [value, (await f.pullback(feeds, saved, cotangent))[meta.input]] as const;
      });
    const expected = await of({});
    for (const activations of ["save", "recompute"] as const) {
      const actual = await of({ precision: "float16", activations, on: roundingRuntime });
      for (const [i, values] of actual.entries()) {
        expect(relativeError(values, expected[i])).toBeLessThan(1e-2);
      }
    }
  });
});
