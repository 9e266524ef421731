import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import { type Attributes, type DataType, float, int, ints, text } from "../../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { checkOperator } from "../../support/check-operator.ts";
import {
  type Array64,
  array64,
  checkRule,
  randomArray,
  randomNumbers,
  relativeError,
} from "../../support/check-rule.ts";
import { pullbackOf } from "../../support/pullback.ts";
import { awayFrom, build, zip } from "../../support/reference.ts";
import { runGraph } from "../../support/run-graph.ts";

const random = randomNumbers(21);
const normal = (...dims: number[]): Array64 => randomArray(dims, random);
const variable = (x: Array64) => ({ ...x, variable: true as const });
const of = (dtype: DataType, dims: readonly number[], data: readonly number[]) => ({
  ...array64(dims, data),
  dtype,
});
const floats = (value: readonly number[]) => ({ kind: "floats", value }) as const;
const strings = (value: readonly string[]) => ({ kind: "strings", value }) as const;

describe("circular and hyperbolic functions", () => {
  const unary: readonly [string, (x: number) => number, number, number][] = [
    ["Tan", Math.tan, -1.2, 1.2],
    ["Asin", Math.asin, -0.9, 0.9],
    ["Acos", Math.acos, -0.9, 0.9],
    ["Atan", Math.atan, -3, 3],
    ["Sinh", Math.sinh, -3, 3],
    ["Cosh", Math.cosh, -3, 3],
    ["Asinh", Math.asinh, -3, 3],
    ["Acosh", Math.acosh, 1.1, 4],
    ["Atanh", Math.atanh, -0.9, 0.9],
  ];
  it.each(unary)("%s", async (op, f, low, high) => {
    const x = normal(3, 5);
    const data = x.data.map((v) => Math.fround(low + ((v + 1) / 2) * (high - low)));
    await checkRule({
      op,
      inputs: [variable(array64(x.dims, data))],
      reference: ([a]) => zip(f, a!),
    });
  });
});

it("Mod has the remainder's derivatives, of broadcast divisors too", async () => {
  const a = awayFrom([-3, -1.5, 0, 1.5, 3], [4, 3], 5, 4, 0.05);
  const divisor = array64([3], [1.5, 1.5, -1.5]);
  await checkRule({
    op: "Mod",
    attributes: { fmod: int(1) },
    inputs: [variable(a), variable(divisor)],
    reference: ([x, y]) => zip((p, q) => p % q, x!, y!),
  });
});

it("Swish is x·σ(αx)", async () => {
  // ONNX Runtime has no kernel of its own for it: it runs the function that ONNX defines.
  const x = normal(2, 7);
  await checkRule({
    op: "QuickGelu",
    domain: "com.microsoft",
    attributes: { alpha: float(1.3) },
    inputs: [variable(x)],
    reference: ([a]) => zip((v) => v / (1 + Math.exp(-1.3 * v)), a!),
  });
});

describe("LRN", () => {
  // ONNX Runtime takes odd numbers alone.
  it.each([1, 3, 5, 9])("over %i channels", async (size) => {
    const attributes = { size: int(size), alpha: float(0.3), beta: float(0.75), bias: float(1.5) };
    await checkOperator({ op: "LRN", opset: 13, attributes, inputs: [variable(normal(2, 6, 3, 2))] });
  });
});

/** A grid whose points lie a little away from pixels and borders, where the derivative jumps. */
function grid(dims: readonly number[], sizes: readonly number[], aligned: boolean, scale: number): Array64 {
  return build(dims, (index) => {
    const size = sizes[sizes.length - 1 - index.at(-1)!];
    for (;;) {
      const g = Math.fround(random() * scale);
      const x = aligned ? ((g + 1) / 2) * (size - 1) : ((g + 1) * size - 1) / 2;
      if (Math.abs(2 * x - Math.round(2 * x)) > 0.1) return g;
    }
  });
}

describe("GridSample", () => {
  for (const opset of [16, 20]) {
    for (const mode of opset === 16 ? ["bilinear", "nearest", "bicubic"] : ["linear", "nearest", "cubic"]) {
      for (const padding of ["zeros", "border", "reflection"]) {
        for (const aligned of [0, 1]) {
          it(`${mode}, ${padding}, align_corners ${aligned}, operator set ${opset}`, async () => {
            const attributes: Attributes = {
              mode: text(mode),
              padding_mode: text(padding),
              align_corners: int(aligned),
            };
            const points = grid([2, 3, 2, 2], [4, 5], aligned === 1, 1.4);
            const x = variable(normal(2, 2, 4, 5));
            // Nearest pixels do not change with the grid.
            const inputs = [x, mode === "nearest" ? points : variable(points)];
            await checkOperator({ op: "GridSample", opset, attributes, inputs });
          });
        }
      }
    }
  }
  it("of volumes", async () => {
    const attributes: Attributes = { mode: text("linear"), padding_mode: text("border") };
    const points = grid([1, 2, 2, 2, 3], [3, 4, 2], false, 1.2);
    await checkOperator({
      op: "GridSample",
      opset: 20,
      attributes,
      inputs: [variable(normal(1, 2, 3, 4, 2)), variable(points)],
    });
  });
});

it.each([0, 1])("AffineGrid of images and volumes, align_corners %i", async (aligned) => {
  const attributes = { align_corners: int(aligned) };
  const size = (dims: number[]) => of("int64", [dims.length], dims);
  for (const [theta, dims] of [
    [normal(2, 2, 3), [2, 1, 3, 4]],
    [normal(1, 3, 4), [1, 2, 2, 3, 4]],
  ] as const) {
    const inputs = [variable(theta), size([...dims])];
    await checkOperator({ op: "AffineGrid", opset: 20, attributes, inputs });
  }
});

describe("DeformConv", () => {
  const cases: readonly [string, Attributes, number[], number[], number][] = [
    ["plain", { pads: ints([1, 1, 1, 1]) }, [2, 4, 5, 4], [3, 4, 3, 3], 1],
    [
      "strides and dilations",
      { strides: ints([2, 1]), dilations: ints([1, 2]) },
      [1, 2, 5, 6],
      [2, 2, 2, 2],
      1,
    ],
    [
      "groups of channels and of offsets",
      { group: int(2), offset_group: int(2), pads: ints([1, 0, 1, 0]) },
      [2, 4, 4, 4],
      [6, 2, 3, 2],
      2,
    ],
  ];
  it.each(cases)("%s", async (_, attributes, x, w, offsetGroups) => {
    const list = (key: string, fallback: number[]) => {
      const a = attributes[key];
      return a?.kind === "ints" ? a.value : fallback;
    };
    const [strides, dilations] = [list("strides", [1, 1]), list("dilations", [1, 1])];
    const pads = list("pads", [0, 0, 0, 0]);
    const out = [0, 1].map(
      (i) =>
        Math.floor((x[i + 2] + pads[i] + pads[i + 2] - dilations[i] * (w[i + 2] - 1) - 1) / strides[i]) + 1,
    );
    const taps = w[2] * w[3];
    const offset = awayFrom(
      [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2],
      [x[0], offsetGroups * taps * 2, ...out],
      3,
      2,
      0.02,
    );
    const mask = normal(x[0], offsetGroups * taps, ...out);
    await checkOperator({
      op: "DeformConv",
      opset: 19,
      attributes,
      inputs: [variable(normal(...x)), normal(...w), variable(offset), normal(w[0]), variable(mask)],
    });
  });
});

describe("Col2Im", () => {
  it.each([
    ["overlapping blocks", {}, [5, 4], [2, 3]],
    ["pads and strides", { pads: ints([1, 0, 1, 1]), strides: ints([2, 1]) }, [5, 4], [3, 2]],
    ["dilations", { dilations: ints([2, 1]) }, [6, 5], [2, 2]],
    ["a rest behind the last block", { strides: ints([2, 3]) }, [6, 6], [3, 2]],
  ] as [string, Attributes, number[], number[]][])("%s", async (_, attributes, image, block) => {
    const list = (key: string, fallback: number[]) => {
      const a = attributes[key];
      return a?.kind === "ints" ? [...a.value] : fallback;
    };
    const [strides, dilations, pads] = [
      list("strides", [1, 1]),
      list("dilations", [1, 1]),
      list("pads", [0, 0, 0, 0]),
    ];
    const blocks = image.map(
      (size, i) =>
        Math.floor((size + pads[i] + pads[i + 2] - dilations[i] * (block[i] - 1) - 1) / strides[i]) + 1,
    );
    const [n, channels] = [2, 3];
    const count = blocks[0] * blocks[1];
    const reference = ([x]: readonly Array64[]): Array64 => {
      const out = array64([n, channels, ...image]);
      for (const [e, value] of x!.data.entries()) {
        const [l, row] = [e % count, Math.floor(e / count)];
        const [t, c] = [row % (block[0] * block[1]), Math.floor(row / (block[0] * block[1]))];
        const y = Math.floor(l / blocks[1]) * strides[0] - pads[0] + Math.floor(t / block[1]) * dilations[0];
        const z = (l % blocks[1]) * strides[1] - pads[1] + (t % block[1]) * dilations[1];
        if (y < 0 || z < 0 || y >= image[0] || z >= image[1]) continue;
        out.data[c * image[0]! * image[1]! + y * image[1]! + z] += value;
      }
      return out;
    };
    const x = normal(n, channels * block[0] * block[1], count);
    const sizes = [of("int64", [2], image), of("int64", [2], block)];
    await checkLinear("Col2Im", 18, attributes, x, sizes, reference);
  });
});

/**
 * A linear function of one input, up to a constant, against a reference of it in double, or against ONNX Runtime's own
 * operator: its gradient is the transpose.
 */
async function checkLinear(
  op: string,
  opset: number,
  attributes: Attributes,
  x: Array64,
  others: Parameters<typeof checkOperator>[0]["inputs"],
  reference?: (inputs: readonly Array64[]) => Array64,
): Promise<void> {
  const b = new GraphBuilder({ ...emptyGraph(), opset });
  const names = others.map((input) =>
    input === "" ? "" : b.constant(constantOf(input.dtype ?? "float32", input.dims, input.data)),
  );
  b.output(b.op(op, [b.input("x", x.dims), ...names], attributes), { dims: [] });
  const apply = async (value: Array64): Promise<Array64> =>
    reference?.([value]) ?? (await runGraph(b.graph, { x: value }))[0];
  const prepared = await prepareGraph(nodeRuntime({ threads: 1 }), b.graph, { x: x.dims });
  const [y] = await runGraph(prepared, { x });
  const expected = await apply(x);
  expect([...y!.dims]).toEqual([...expected.dims]);
  expect(relativeError(y!.data, expected.data)).toBeLessThan(1e-5);
  const cotangent = normal(...expected.dims);
  const { gradients } = await pullbackOf(prepared, { x }, ["x"], [cotangent]);
  const origin = (await apply(array64(x.dims))).data;
  const transposed = new Float64Array(x.data.length);
  for (let e = 0; e < transposed.length; e++) {
    const unit = array64(x.dims);
    unit.data[e] = 1;
    const { data } = await apply(unit);
    transposed[e] = data.reduce((sum, v, i) => sum + (v - origin[i]) * cotangent.data[i], 0);
  }
  expect(relativeError(gradients[0], transposed)).toBeLessThan(1e-5);
}

describe("DFT", () => {
  const length = (n: number) => of("int64", [], [n]);
  const axis = (a: number) => of("int64", [], [a]);
  const dft = (
    opset: number,
    attributes: Attributes,
    ...inputs: Parameters<typeof checkOperator>[0]["inputs"]
  ) => checkOperator({ op: "DFT", opset, attributes, inputs });
  it("of real and complex signals, up to operator set 19 along an attribute", async () => {
    await dft(17, { axis: int(1) }, variable(normal(2, 5, 3, 1)));
    await dft(17, { axis: int(2), onesided: int(1) }, variable(normal(2, 3, 6, 1)));
    await dft(19, { axis: int(1), inverse: int(1) }, variable(normal(2, 4, 2)));
  });
  it("along an input since operator set 20", async () => {
    await dft(20, {}, variable(normal(2, 5, 1)), "", axis(-2));
    await dft(20, { onesided: int(1) }, variable(normal(2, 5, 4, 1)), "", axis(1));
    await dft(20, { inverse: int(1) }, variable(normal(2, 5, 4, 2)), "", axis(2));
  });
  it("of signals that are cut or filled up", async () => {
    await dft(20, {}, variable(normal(2, 6, 2)), length(4), axis(1));
    await dft(20, { onesided: int(1) }, variable(normal(2, 5, 1)), length(8), axis(1));
  });
});

it("STFT of framed signals, with and without a window", async () => {
  const step = of("int64", [], [3]);
  const length = of("int64", [], [4]);
  const stft = (attributes: Attributes, ...inputs: Parameters<typeof checkOperator>[0]["inputs"]) =>
    checkOperator({ op: "STFT", opset: 17, attributes, inputs });
  await stft({ onesided: int(1) }, variable(normal(2, 11, 1)), step, normal(4), length);
  await stft({ onesided: int(0) }, variable(normal(1, 9, 1)), step, "", length);
});

describe("recurrent layers", () => {
  const [steps, batch, width, hidden] = [3, 2, 4, 3];
  const layer = (
    op: string,
    gates: number,
    attributes: Attributes,
    { way = "forward", bias = true, initial = false, peepholes = false, layout = 0, opset = 14 } = {},
  ) => {
    const d = way === "bidirectional" ? 2 : 1;
    const x = layout === 1 ? normal(batch, steps, width) : normal(steps, batch, width);
    const state = () => variable(layout === 1 ? normal(batch, d, hidden) : normal(d, batch, hidden));
    const isLstm = op === "LSTM";
    const inputs: Parameters<typeof checkOperator>[0]["inputs"] = [
      variable(x),
      normal(d, gates * hidden, width),
      normal(d, gates * hidden, hidden),
      bias ? normal(d, 2 * gates * hidden) : "",
      "",
      initial ? state() : "",
      ...(isLstm ? ([initial ? state() : "", peepholes ? normal(d, 3 * hidden) : ""] as const) : []),
    ];
    const outputs = isLstm ? 3 : 2;
    return checkOperator({
      op,
      opset,
      inputs,
      outputs,
      of: Array.from({ length: outputs }, (_, i) => i),
      attributes: {
        hidden_size: int(hidden),
        direction: text(way),
        ...(opset < 14 ? {} : { layout: int(layout) }),
        ...attributes,
      },
    });
  };
  for (const [op, gates] of [
    ["RNN", 1],
    ["GRU", 3],
    ["LSTM", 4],
  ] as const) {
    it.each(["forward", "reverse", "bidirectional"])(`${op}, %s`, async (way) => {
      await layer(op, gates, {}, { way });
      await layer(op, gates, {}, { way, initial: true, bias: false, opset: 7 });
    });
    it(`${op} with a clip`, () => layer(op, gates, { clip: float(0.6) }));
  }
  it("a GRU that resets after the product", async () => {
    await layer("GRU", 3, { linear_before_reset: int(1) }, { way: "bidirectional" });
    await layer("GRU", 3, { linear_before_reset: int(1) }, { bias: false });
  });
  it("an LSTM with peepholes, and with coupled gates", async () => {
    await layer("LSTM", 4, {}, { peepholes: true, way: "bidirectional", initial: true });
    await layer("LSTM", 4, { input_forget: int(1) });
  });
  it("other activations", async () => {
    await layer("RNN", 1, { activations: strings(["Softsign"]) });
    await layer("RNN", 1, {
      activations: strings(["Affine"]),
      activation_alpha: floats([0.5]),
      activation_beta: floats([0.1]),
    });
    await layer("GRU", 3, { activations: strings(["Sigmoid", "Relu"]) });
    await layer("LSTM", 4, { activations: strings(["Sigmoid", "Tanh", "Softsign"]) });
  });
});

describe("operators that move numbers", () => {
  const shape = (...dims: number[]) => of("int64", [dims.length], dims);
  it("CenterCropPad", async () => {
    await checkOperator({
      op: "CenterCropPad",
      opset: 18,
      attributes: { axes: ints([2, -1]) },
      inputs: [variable(normal(1, 2, 7, 4)), shape(4, 7)],
    });
    await checkOperator({ op: "CenterCropPad", opset: 18, inputs: [variable(normal(3, 6)), shape(6, 3)] });
  });
  it("ReverseSequence", async () => {
    const lengths = of("int64", [3], [1, 4, 2]);
    await checkOperator({ op: "ReverseSequence", opset: 10, inputs: [variable(normal(4, 3, 2)), lengths] });
    const attributes = { batch_axis: int(0), time_axis: int(1) };
    await checkOperator({
      op: "ReverseSequence",
      opset: 10,
      attributes,
      inputs: [variable(normal(3, 4)), lengths],
    });
  });
  it("MaxUnpool", async () => {
    await checkOperator({
      op: "MaxUnpool",
      opset: 11,
      attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) },
      inputs: [variable(normal(1, 1, 2, 2)), of("int64", [1, 1, 2, 2], [5, 7, 8, 10])],
    });
  });
  it("OneHot of two computed values", async () => {
    const indices = of("int64", [2, 3], [0, -1, 2, 1, 3, 7]);
    const depth = of("int64", [], [4]);
    const attributes = { axis: int(1) };
    await checkOperator({
      op: "OneHot",
      opset: 11,
      attributes,
      inputs: [indices, depth, variable(normal(2))],
    });
  });
  it("Compress by a known condition", async () => {
    const x = variable(normal(3, 4));
    const attributes = { axis: int(1) };
    await checkOperator({
      op: "Compress",
      opset: 11,
      attributes,
      inputs: [x, of("bool", [4], [0, 1, 1, 0])],
    });
    await checkOperator({ op: "Compress", opset: 11, inputs: [x, of("bool", [7], [1, 0, 0, 1, 0, 1, 0])] });
  });
  it("RoiAlign's means", async () => {
    const rois = array64([2, 4], [0.3, 0.4, 3.1, 2.8, 1.2, 0.1, 4.4, 4.9]);
    for (const [opset, mode] of [
      [10, undefined],
      [16, "half_pixel"],
      [16, "output_half_pixel"],
    ] as const) {
      await checkOperator({
        op: "RoiAlign",
        opset,
        attributes: {
          ...{
            output_height: int(2),
            output_width: int(3),
            sampling_ratio: int(2),
            spatial_scale: float(0.9),
          },
          ...(mode === undefined ? {} : { coordinate_transformation_mode: text(mode) }),
        },
        inputs: [variable(normal(2, 2, 6, 5)), variable(rois), of("int64", [2], [1, 0])],
      });
    }
  });
  it("MaxRoiPool of known regions", async () => {
    await checkOperator({
      op: "MaxRoiPool",
      opset: 13,
      attributes: { pooled_shape: ints([2, 2]), spatial_scale: float(0.5) },
      inputs: [variable(normal(2, 2, 6, 5)), array64([2, 5], [0, 1, 1, 7, 9, 1, 4, 0, 9, 6])],
    });
  });
});

it.each([1, 2, 3, 4])("Det of matrices of %i rows", async (n) => {
  await checkOperator({ op: "Det", opset: 11, inputs: [variable(normal(2, n, n))] });
});

describe("losses", () => {
  const target = of("int64", [3, 2], [0, 2, 1, 1, 3, 2]);
  for (const op of ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"]) {
    it.each(["none", "sum", "mean"])(`${op}, reduced by %s`, async (reduction) => {
      const attributes = { reduction: text(reduction) };
      const x = variable(normal(3, 4, 2));
      await checkOperator({ op, opset: 13, attributes, inputs: [x, target] });
      const weight = array64([4], [0.5, 1.5, 2, 0.7]);
      const ignoring = { ...attributes, ignore_index: int(1) };
      await checkOperator({ op, opset: 13, attributes: ignoring, inputs: [x, target, weight] });
    });
  }
});

describe("Resize that crops", () => {
  it.each(["linear", "nearest", "cubic"])("%s", async (mode) => {
    const attributes: Attributes = {
      mode: text(mode),
      coordinate_transformation_mode: text("tf_crop_and_resize"),
      extrapolation_value: float(0.25),
    };
    const roi = array64([8], [0, 0, 0.1, 0.2, 1, 1, 0.85, 1.15]);
    for (const sizes of [
      [1, 2, 4, 3],
      [1, 2, 6, 5],
    ]) {
      const others = [roi, "", of("int64", [4], sizes)] as const;
      await checkLinear("Resize", 13, attributes, normal(1, 2, 6, 5), others);
    }
  });
});
