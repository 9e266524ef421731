import { Tensor } from "onnxruntime-common";
import { describe, expect, it, test } from "vitest";
import { imagesInput } from "../../src/encoder/batched-features.ts";
import { createEncoder } from "../../src/encoder/encoder.ts";
import { selectFeature } from "../../src/encoder/select-feature.ts";
import { ModelError, NumericalError } from "../../src/errors.ts";
import { compileDerivative } from "../../src/onnx-vjp/compile/differentiable.ts";
import { constantOf } from "../../src/onnx-vjp/graph/constant.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomNumbers, relativeError } from "../support/check-rule.ts";
import {
  type SmallOptions,
  smallEncoder,
  smallFeatures,
  smallGraph,
  smallSide,
} from "../support/small-encoder.ts";

const runtime = nodeRuntime({ threads: 1 });
const pixels = 3 * smallSide * smallSide;
const open = (options?: SmallOptions, feature?: string) =>
  createEncoder(runtime, smallEncoder(smallGraph(options), feature));

/** `count` images of random bytes. */
function randomBytes(count: number): Uint8Array {
  const random = randomNumbers(11);
  return Uint8Array.from({ length: count * pixels }, () => Math.floor(128 * (random() + 1)));
}
const asFloats = (bytes: Uint8Array) => Float32Array.from(bytes, (v) => v / 255);

test("a feature is said to be asked for only where it is not the obvious one", () => {
  const graph = smallGraph();
  const named = { value: "features", reason: "the output named features" };
  expect(selectFeature(graph)).toEqual(named);
  // The description that comes with a model names it too.
  expect(selectFeature(graph, "features")).toEqual(named);
  expect(selectFeature(graph, "map")).toEqual({ value: "map", reason: "as asked" });
  expect(() => selectFeature(graph, "nothing")).toThrow('no tensor "nothing"');
});

describe("features", () => {
  it("of bytes are those of the same images as floats", async () => {
    const encoder = await open();
    const bytes = randomBytes(3);
    expect(await encoder.features(asFloats(bytes), 3)).toEqual(await encoder.features(bytes, 3));
    await encoder.release();
  });

  it("are computed again after the session for them was let go", async () => {
    const encoder = await open();
    const images = asFloats(randomBytes(2));
    const before = await encoder.features(images, 2);
    await encoder.release();
    expect(await encoder.features(images, 2)).toEqual(before);
    await encoder.release();
    await encoder.release();
  });

  it("are normalized pixels through the model", async () => {
    const encoder = await open();
    const images = asFloats(randomBytes(1));
    const { mean, std } = encoder.preprocessing;
    const area = smallSide * smallSide;
    const normalized = images.map((v, i) => (v - mean[Math.floor(i / area)]) / std[Math.floor(i / area)]);
    const session = await runtime.session(smallGraph());
    const feeds = { pixels: new Tensor("float32", normalized, [1, 3, smallSide, smallSide]) };
    const { features } = await session.run(feeds);
    expect(relativeError(await encoder.features(images, 1), features!.data as Float32Array)).toBeLessThan(
      1e-5,
    );
    await session.release();
    await encoder.release();
  });

  it("of a batch with a remainder are those of each image alone", async () => {
    const encoder = await open();
    const images = asFloats(randomBytes(19));
    const together = await encoder.features(images, 19);
    expect(together).toHaveLength(19 * smallFeatures);
    for (const i of [0, 15, 16, 18]) {
      const alone = await encoder.features(images.slice(i * pixels, (i + 1) * pixels), 1);
      const row = together.subarray(i * smallFeatures, (i + 1) * smallFeatures);
      expect(relativeError(row, alone)).toBeLessThan(1e-6);
    }
    await encoder.release();
  });

  it("of a model that takes four images at once are those of one that takes any number", async () => {
    const images = asFloats(randomBytes(6));
    const [fixed, any] = [await open({ batch: 4 }), await open()];
    expect([fixed.fixedBatch, any.fixedBatch]).toEqual([4, undefined]);
    expect(relativeError(await fixed.features(images, 6), await any.features(images, 6))).toBeLessThan(1e-6);
    await Promise.all([fixed.release(), any.release()]);
  });

  it("that are not finite are refused, with the image named", async () => {
    const graph = smallGraph();
    const [name, weights] = [...graph.constants].find(([, c]) => c.dims.length === 4)!;
    graph.constants.set(name, constantOf("float32", weights.dims, new Float32Array(108).fill(Number.NaN)));
    const encoder = await createEncoder(runtime, smallEncoder(graph));
    const features = encoder.features(randomBytes(2), 2);
    await expect(features).rejects.toThrow(NumericalError);
    await expect(features).rejects.toThrow(/small gave a feature that is not finite \(NaN\) for image 0/);
    const named = encoder.features(randomBytes(2), 2, (i) => ["cat.png", "dog.png"][i]);
    await expect(named).rejects.toThrow(/\(NaN\) for cat\.png\. Check/);
    await encoder.release();
  });
});

describe("the pullback", () => {
  it.each(["save", "recompute"] as const)("predicts small steps of the pixels (%s)", async (activations) => {
    const encoder = await open();
    const compiled = await compileDerivative(runtime, await encoder.plan(2), activations);
    const images = asFloats(randomBytes(2));
    const random = randomNumbers(5);
    const cotangent = Float32Array.from({ length: 2 * smallFeatures }, random);
    const feeds = { [imagesInput]: new Tensor("float32", images, [2, 3, smallSide, smallSide]) };
    const { saved, value } = await compiled.forward(feeds);
    expect(relativeError(value, await encoder.features(images, 2))).toBeLessThan(1e-6);
    const gradient = (await compiled.pullback(feeds, saved, cotangent))[imagesInput];
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0);
    // Steps short against the curvature of tanh, long against float32's rounding.
    const step = 2e-3;
    const along = async (direction: Float32Array) => {
      const at = async (sign: number) =>
        dot(
          await encoder.features(
            images.map((v, i) => v + sign * step * direction[i]),
            2,
          ),
          cotangent,
        );
      return ((await at(1)) - (await at(-1))) / (2 * step);
    };
    const norm = Math.hypot(...gradient);
    for (let trial = 0; trial < 3; trial++) {
      const direction = Float32Array.from({ length: 2 * pixels }, random);
      const size = Math.hypot(...direction);
      // Half of it uphill, so that what is measured is not a cancellation.
      const unit = direction.map((v, i) => v / size + gradient[i] / norm);
      const expected = dot(gradient, unit);
      expect(Math.abs((await along(unit)) - expected)).toBeLessThan(2e-3 * Math.abs(expected));
    }
    await compiled.release();
    await encoder.release();
  });
});

describe("models that cannot be differentiated", () => {
  // What is drawn at random has no gradient.
  const drawn: SmallOptions = {
    batch: 1,
    between: (b, map) => b.named("Bernoulli", [b.named("Bernoulli", [map], "draw")], "again"),
  };

  it("name every node without a rule, and the nearest feature tensor that works", async () => {
    const encoder = await open({
      ...drawn,
      between(b, map) {
        const scale = b.floats([smallSide], new Float32Array(smallSide).fill(1));
        return drawn.between!(b, b.named("LayerNormalization", [b.op("Tanh", [map]), scale], "normed"));
      },
    });
    for (const refused of [encoder.plan(1), Promise.resolve().then(encoder.requirePullback)]) {
      await expect(refused).rejects.toThrow(ModelError);
      await expect(refused).rejects.toThrow(
        /"features" cannot be differentiated.*Bernoulli "draw", Bernoulli "again".*"normed" \[1, 4, 8, 8\].*`feature: "normed"`/,
      );
    }
    // Features alone need no rule.
    expect(await encoder.features(randomBytes(1), 1)).toHaveLength(smallFeatures);
    await encoder.release();
    const working = await open(drawn, "map");
    expect((await working.plan(1)).gradients).toHaveLength(1);
    await working.release();
  });

  it("name any tensor before the nodes where none is a usual feature", async () => {
    const encoder = await open(drawn);
    await expect(encoder.plan(1)).rejects.toThrow(/`feature: "map"`\.$/);
    await encoder.release();
  });

  it("say so where there is none", async () => {
    const graph = smallGraph({ batch: 1 });
    const [conv] = graph.nodes;
    const b = { op: "Bernoulli", domain: "", name: "first", attributes: {} };
    graph.nodes = [
      { ...b, inputs: ["pixels"], outputs: ["drawn"] },
      { ...conv!, inputs: ["drawn", conv!.inputs[1]] },
      ...graph.nodes.slice(1),
    ];
    const encoder = await createEncoder(runtime, smallEncoder(graph));
    await expect(encoder.plan(1)).rejects.toThrow(/Bernoulli "first".*choose another encoder/);
    await encoder.release();
  });
});

describe("models that are refused", () => {
  it("an operator that nobody knows is named with its node, beside ONNX Runtime's words", async () => {
    const own = (b: Parameters<NonNullable<SmallOptions["between"]>>[0], x: string, domain: string) => {
      const y = b.op("Sparkle", [x], {}, domain);
      b.graph.nodes.push({ ...b.graph.nodes.pop()!, name: "the odd one" });
      return y;
    };
    for (const domain of ["", "com.example"]) {
      const opened = open({ between: (b, map) => own(b, map, domain) });
      await expect(opened).rejects.toThrow(ModelError);
      await expect(opened).rejects.toThrow(/Sparkle "the odd one".*`feature`/);
    }
  });

  it.each(["uint8", "int64"] as const)(
    "an image input of %s is no input that has a gradient",
    async (dtype) => {
      await expect(open({ dtype })).rejects.toThrow(new RegExp(`"pixels" ${dtype} \\[.*float32`));
    },
  );

  it("a text model is recognized by its input", async () => {
    const graph = smallGraph();
    graph.inputs = [{ name: "input_ids", dtype: "int64", dims: ["batch", "length"] }];
    await expect(createEncoder(runtime, smallEncoder(graph))).rejects.toThrow(
      /"input_ids" int64 \[batch, length\].*image input.*vision/,
    );
  });

  it("a feature that is not there is answered with the candidates", async () => {
    await expect(open({}, "nope")).rejects.toThrow(/no tensor "nope".*Candidates: .*features/s);
  });

  it.each([
    ["QuantizeLinear", "", 2],
    ["DynamicQuantizeLinear", "", 1],
  ])("a quantized model is refused by the name of its %s", async (op, domain, inputs) => {
    const opened = open({
      between(b, map) {
        const [q, scale, zero] =
          inputs === 1
            ? b.ops(op, [map], 3, {}, domain)
            : [b.op(op, [map, b.scalar(0.1)], {}, domain), b.scalar(0.1), ""];
        return b.op("DequantizeLinear", zero === "" ? [q!, scale!] : [q!, scale!, zero!]);
      },
    });
    await expect(opened).rejects.toThrow(ModelError);
    await expect(opened).rejects.toThrow(new RegExp(`quantized \\((${op}|DequantizeLinear) .*no gradient`));
  });

  it("a model of half precision is one of its weights in float32", async () => {
    const half = await open({ dtype: "float16" });
    const single = await open();
    const images = randomBytes(2);
    expect(relativeError(await half.features(images, 2), await single.features(images, 2))).toBeLessThan(
      1e-5,
    );
    expect((await half.plan(1)).gradients).toHaveLength(1);
    await Promise.all([half.release(), single.release()]);
  });
});
