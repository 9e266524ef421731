import { describe, expect, it } from "vitest";
import { createEncoder } from "../../src/encoder/encoder.ts";
import type { EncoderModel } from "../../src/encoder/encoder-model.ts";
import { imageInputOf } from "../../src/encoder/image-input.ts";
import type { ModelForm } from "../../src/encoder/model-form.ts";
import { selectFeature } from "../../src/encoder/select-feature.ts";
import { emptyGraph, GraphBuilder } from "../../src/onnx-vjp/graph/builder.ts";
import { type Graph, int, ints } from "../../src/onnx-vjp/graph/ir.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers, relativeError } from "../support/check-rule.ts";

const runtime = nodeRuntime({ threads: 1 });
const random = randomNumbers(13);
const side = 6;
const weights = (b: GraphBuilder, ...dims: number[]) => b.floats(dims, randomArray(dims, random).data);
const newBuilder = () => new GraphBuilder(emptyGraph());

function encoderModel(
  graph: Graph,
  form: ModelForm & Pick<EncoderModel, "pool" | "feature"> = {},
): EncoderModel {
  return {
    provenance: { id: "small", sha256: "0".repeat(64) },
    graph,
    preprocessing: {
      resize: side,
      crop: [side, side],
      interpolation: "bicubic",
      cropOffset: "round",
      mean: [0.4, 0.5, 0.6],
      std: [0.2, 0.25, 0.3],
    },
    ...form,
  };
}

/** Features of two fixed images. */
async function featuresOf(model: EncoderModel): Promise<Float32Array> {
  const encoder = await createEncoder(runtime, model);
  const images = Float32Array.from({ length: 2 * 3 * side * side }, (_, i) => ((i * 37) % 101) / 101);
  const features = await encoder.features(images, 2);
  await encoder.release();
  return features;
}

const toNchw = (b: GraphBuilder, x: string) => b.transpose(x, [0, 3, 1, 2]);

describe("the layout of a model's images", () => {
  const read = (dims: (number | string)[], write: (b: GraphBuilder, x: string) => string) => {
    const b = newBuilder();
    b.output(write(b, b.input("x", dims)), { dims: [] });
    const { layout, channels } = imageInputOf(b.graph);
    return `${layout} ${channels}`;
  };
  const conv = (channels: number) => (b: GraphBuilder, x: string) =>
    b.op("Conv", [x, weights(b, 2, channels, 3, 3)]);

  it("is what the declared sizes say", () => {
    const any = (b: GraphBuilder, x: string) => b.op("Relu", [x]);
    expect(read(["n", 3, 8, 8], any)).toBe("nchw 3");
    expect(read(["n", 8, 8, 3], any)).toBe("nhwc 3");
    expect(read(["n", 1, "h", "w"], any)).toBe("nchw 1");
    expect(read([1, "h", "w", 1], any)).toBe("nhwc 1");
  });

  it("is what the first convolution reads where sizes are open", () => {
    expect(read(["n", "c", "h", "w"], conv(3))).toBe("nchw 3");
    expect(read(["n", "c", "h", "w"], conv(1))).toBe("nchw 1");
    expect(read(["a", "b", "c", "d"], (b, x) => conv(3)(b, toNchw(b, b.op("Mul", [x, b.scalar(2)]))))).toBe(
      "nhwc 3",
    );
    // Images three pixels wide.
    expect(read(["n", 3, 3, 3], (b, x) => conv(3)(b, toNchw(b, x)))).toBe("nhwc 3");
  });

  it("is what a mean per channel is subtracted along", () => {
    const shifted = (dims: number[]) => (b: GraphBuilder, x: string) => b.op("Sub", [x, weights(b, ...dims)]);
    expect(read(["a", "b", "c", "d"], shifted([3]))).toBe("nhwc 3");
    expect(read(["a", "b", "c", "d"], shifted([1, 3, 1, 1]))).toBe("nchw 3");
  });

  it("has to be said where nothing tells", () => {
    const b = newBuilder();
    b.output(b.op("Flatten", [b.input("x", ["a", "b", "c", "d"])]), { dims: [] });
    expect(() => imageInputOf(b.graph)).toThrow(/does not say which axis.*inputLayout: 'nhwc'/s);
    expect(imageInputOf(b.graph, { inputLayout: "nhwc" })).toMatchObject({ layout: "nhwc", channels: 3 });
  });

  it("of other numbers of channels, and of two inputs, is refused", () => {
    const rgba = newBuilder();
    rgba.output(rgba.op("Relu", [rgba.input("x", ["n", 4, 8, 8])]), { dims: [] });
    expect(() => imageInputOf(rgba.graph)).toThrow(/inputLayout/);
    const two = newBuilder();
    two.output(two.op("Add", [two.input("x", ["n", 3, 8, 8]), two.input("y", ["n", 3, 8, 8])]), { dims: [] });
    expect(() => imageInputOf(two.graph)).toThrow(/"x" .*"y" .*Expected one image input/s);
  });

  it("changes nothing about the features", async () => {
    const kernel = randomArray([4, 3, 3, 3], random).data;
    const network = (nhwc: boolean): Graph => {
      const b = newBuilder();
      const x = b.input("x", nhwc ? ["n", side, side, 3] : ["n", 3, side, side]);
      const map = b.op("Conv", [nhwc ? toNchw(b, x) : x, b.floats([4, 3, 3, 3], kernel)]);
      b.output(b.op("Flatten", [b.op("GlobalAveragePool", [b.op("Tanh", [map])])]), { dims: [] }, "features");
      return b.graph;
    };
    const [planar, interleaved] = [
      await featuresOf(encoderModel(network(false))),
      await featuresOf(encoderModel(network(true))),
    ];
    expect(relativeError(interleaved, planar)).toBeLessThan(1e-6);
  });
});

describe("gray images", () => {
  const kernel = randomArray([4, 1, 3, 3], random).data;
  const network = (): Graph => {
    const b = newBuilder();
    const map = b.op("Conv", [b.input("x", ["n", 1, side, side]), b.floats([4, 1, 3, 3], kernel)]);
    b.output(b.op("Flatten", [b.op("GlobalAveragePool", [b.op("Tanh", [map])])]), { dims: [] }, "features");
    return b.graph;
  };
  /** The same function of colors: a convolution whose kernel is spread over them. */
  const spread = (shares: readonly number[]): Graph => {
    const b = newBuilder();
    const wide = Array.from({ length: 4 }, (_, m) =>
      shares.map((share) => Array.from(kernel.subarray(9 * m, 9 * m + 9), (w) => w * share)),
    ).flat(2);
    const map = b.op("Conv", [b.input("x", ["n", 3, side, side]), b.floats([4, 3, 3, 3], wide)]);
    b.output(b.op("Flatten", [b.op("GlobalAveragePool", [b.op("Tanh", [map])])]), { dims: [] }, "features");
    return b.graph;
  };

  it.each([
    ["luma", [0.299, 0.587, 0.114]],
    ["average", [1 / 3, 1 / 3, 1 / 3]],
  ] as const)("are %s of the colors where that is said", async (gray, shares) => {
    const features = await featuresOf(encoderModel(network(), { gray }));
    expect(relativeError(features, await featuresOf(encoderModel(spread(shares))))).toBeLessThan(1e-5);
  });
});

describe("a feature map is pooled over its pixels", () => {
  const network = (
    write: (b: GraphBuilder, map: string) => string,
    form: Parameters<typeof encoderModel>[1] = {},
  ) => {
    const b = newBuilder();
    const kernel = Float32Array.from({ length: 4 * 27 }, (_, i) => Math.sin(i));
    const map = b.op("Conv", [b.input("x", ["n", 3, side, side]), b.floats([4, 3, 3, 3], kernel)]);
    b.output(write(b, map), { dims: [] }, "features");
    return encoderModel(b.graph, form);
  };
  const nhwc = (b: GraphBuilder, x: string) => b.transpose(x, [0, 2, 3, 1]);
  const plain = () => featuresOf(network((b, map) => b.op("Identity", [map])));

  it.each([
    ["transposed", (b: GraphBuilder, map: string) => nhwc(b, map)],
    [
      "transposed, with a sum and an activation",
      (b: GraphBuilder, map: string) => b.op("Add", [nhwc(b, map), b.scalar(0)]),
    ],
    ["as tokens", (b: GraphBuilder, map: string) => b.reshape(nhwc(b, map), [-1, 16, 4])],
    [
      "as tokens and a map again",
      (b: GraphBuilder, map: string) => b.reshape(b.reshape(nhwc(b, map), [-1, 16, 4]), [-1, 4, 4, 4]),
    ],
    ["as rows of channels", (b: GraphBuilder, map: string) => b.reshape(map, [-1, 4, 16])],
  ])("%s", async (_, write) => {
    expect(relativeError(await featuresOf(network(write)), await plain())).toBeLessThan(1e-5);
  });

  it("behind a linear layer, whose results are the last axis", async () => {
    const linear = (b: GraphBuilder, map: string) => {
      const weight = Float32Array.from({ length: 20 }, (_, i) => Math.cos(i));
      return b.op("MatMul", [nhwc(b, map), b.floats([4, 5], weight)]);
    };
    const back = (b: GraphBuilder, map: string) => b.transpose(linear(b, map), [0, 3, 1, 2]);
    const expected = await featuresOf(network(back));
    expect(expected).toHaveLength(10);
    expect(relativeError(await featuresOf(network(linear)), expected)).toBeLessThan(1e-5);
  });

  it("that nothing tells the axes of is refused until they are said", async () => {
    const b = newBuilder();
    const x = b.input("x", ["n", 3, side, side]);
    b.output(b.reshape(b.op("Flatten", [x]), [-1, 4, 3, 9]), { dims: [] }, "features");
    await expect(createEncoder(runtime, encoderModel(b.graph))).rejects.toThrow(
      /map of shape.*featureLayout: 'nhwc'/s,
    );
    const said = await createEncoder(runtime, encoderModel(b.graph, { featureLayout: "nhwc" }));
    expect(said.featureSize).toBe(9);
  });
});

describe("the feature of a classifier is what goes into it", () => {
  const chosen = (write: (b: GraphBuilder, x: string) => string, output = "output"): string => {
    const b = newBuilder();
    const pooled = b.named("GlobalAveragePool", [b.input("x", ["n", 8, 4, 4])], "pooled");
    const flat = b.named("Flatten", [pooled], "flat");
    b.output(write(b, flat), { dims: [] }, output);
    return selectFeature(b.graph).value;
  };
  const linear = (b: GraphBuilder, x: string, classes = 5) =>
    b.op("Gemm", [x, weights(b, 8, classes), weights(b, classes)]);
  const pointwise = (b: GraphBuilder, x: string, classes = 5) =>
    b.op("Conv", [x, weights(b, classes, 8, 1, 1)]);

  it("through temperature, bias, softmax, casts and dropout", () => {
    expect(chosen((b, x) => b.op("Softmax", [b.op("Div", [linear(b, x), b.scalar(2)])]))).toBe("flat");
    expect(chosen((b, x) => b.op("Add", [b.op("MatMul", [x, weights(b, 8, 5)]), weights(b, 5)]))).toBe(
      "flat",
    );
    expect(chosen((b, x) => b.op("Cast", [b.op("Dropout", [linear(b, x)])], { to: int(1) }))).toBe("flat");
  });

  it("of weights that are computed from constants", () => {
    expect(chosen((b, x) => b.op("MatMul", [x, b.op("Transpose", [weights(b, 5, 8)])]))).toBe("flat");
  });

  it("of several heads on one tensor; of heads on several it has to be said", () => {
    expect(
      chosen((b, x) => b.op("Div", [b.op("Sum", [linear(b, x), linear(b, x), linear(b, x)]), b.scalar(3)])),
    ).toBe("flat");
    expect(() =>
      chosen((b, x) => b.op("Add", [linear(b, x), linear(b, b.named("Tanh", [x], "other"))])),
    ).toThrow(/"flat".*"other".*`feature`/s);
  });

  it("of a convolution over one pixel, behind the pooling or before it", () => {
    expect(chosen((b) => b.op("Flatten", [pointwise(b, "pooled")]))).toBe("pooled");
    expect(chosen((b) => b.op("Squeeze", [pointwise(b, "pooled"), b.ints([2, 3])]))).toBe("pooled");
    const map = (b: GraphBuilder, classes: number) => {
      const before = b.named("Tanh", ["x"], "map");
      return b.op("Flatten", [b.op("GlobalAveragePool", [b.op("Relu", [pointwise(b, before, classes)])])]);
    };
    expect(chosen((b) => b.op("Softmax", [map(b, 5)]))).toBe("map");
    expect(chosen((b) => map(b, 1000))).toBe("map");
    expect(chosen((b) => map(b, 5), "logits")).toBe("map");
    // A network's last features are made so, too.
    expect(chosen((b) => map(b, 1280))).toBe("output");
  });

  it("and not what goes into a layer that an activation follows", () => {
    expect(chosen((b, x) => b.op("Relu", [linear(b, x)]))).toBe("output");
    expect(chosen((b, x) => b.op("Mul", [linear(b, x), b.op("Sigmoid", [linear(b, x)])]))).toBe("output");
    expect(
      chosen((b, x) =>
        b.op("Conv", [b.reshape(x, [-1, 8, 1, 1]), weights(b, 8, 8, 3, 3)], { pads: ints([1, 1, 1, 1]) }),
      ),
    ).toBe("output");
  });
});
