import { describe, expect, it } from "vitest";
import { ModelError } from "../../../src/errors.ts";
import { emptyGraph, GraphBuilder, targetOpset } from "../../../src/onnx-vjp/graph/builder.ts";
import { constantOf } from "../../../src/onnx-vjp/graph/constant.ts";
import {
  type Attributes,
  type DataType,
  float,
  type Graph,
  int,
  ints,
  text,
} from "../../../src/onnx-vjp/graph/ir.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { randomArray, randomNumbers } from "../../support/check-rule.ts";
import { expectSameAfterPreparing } from "../../support/same-results.ts";

/** A builder of a graph of an older or newer operator set. */
function builderAt(opset: number): GraphBuilder {
  return new GraphBuilder({ ...emptyGraph(), opset });
}

interface NodeCase {
  readonly op: string;
  readonly opset: number;
  readonly dims: readonly number[];
  readonly attributes?: Attributes;
  readonly domain?: string;
  /** Constants after the first input; "" for an absent one. */
  readonly constants?: readonly (
    | ""
    | { dims: readonly number[]; values: readonly number[]; dtype?: DataType }
  )[];
  readonly outputs?: number;
  /** Element types of the outputs that are not float32. */
  readonly types?: Readonly<Record<number, DataType>>;
}

type TitledCase = NodeCase & { readonly title: string };

/** A graph of one node on the input x, all of whose outputs are the graph's. */
function graphOf({ op, opset, dims, attributes, domain, constants, outputs, types }: NodeCase): Graph {
  const b = builderAt(opset);
  const x = b.input("x", dims);
  const others = (constants ?? []).map((c) =>
    c === "" ? "" : b.constant(constantOf(c.dtype ?? "float32", c.dims, c.values)),
  );
  const names = b.ops(op, [x, ...others], outputs ?? 1, attributes, domain);
  // Shapes are left open: each output is declared by its name alone.
  for (const [i, name] of names.entries()) {
    b.graph.outputs.push({ name, dtype: types?.[i] ?? "float32", dims: [] });
  }
  return b.graph;
}

const int64 = (...values: number[]) => ({ dims: [values.length], values, dtype: "int64" as const });
const random = randomNumbers(7);
const weights = (...dims: number[]) => ({ dims, values: Array.from(randomArray(dims, random).data) });
const opsOf = (graph: Graph) => graph.nodes.map((node) => node.op);

describe("older and newer operator sets become the target one", () => {
  const cases: TitledCase[] = [
    ...["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp"].map(
      (op): TitledCase => ({
        title: `${op}-11: axes attribute`,
        op,
        opset: 11,
        dims: [2, 3, 4],
        attributes: { axes: ints([1, -1]), keepdims: int(0) },
      }),
    ),
    {
      title: "ReduceMean-13: axes attribute",
      op: "ReduceMean",
      opset: 13,
      dims: [2, 3],
      attributes: { axes: ints([1]) },
    },
    {
      title: "ReduceMean-17: all axes",
      op: "ReduceMean",
      opset: 17,
      dims: [2, 3],
      attributes: { keepdims: int(1) },
    },
    { title: "ReduceSum-13: axes input", op: "ReduceSum", opset: 13, dims: [2, 3], constants: [int64(1)] },
    { title: "Squeeze-11", op: "Squeeze", opset: 11, dims: [2, 1, 3], attributes: { axes: ints([1]) } },
    { title: "Squeeze-13", op: "Squeeze", opset: 13, dims: [2, 1, 3], constants: [int64(1)] },
    { title: "Squeeze-11 of every unit axis", op: "Squeeze", opset: 11, dims: [2, 1, 3, 1] },
    { title: "Unsqueeze-11", op: "Unsqueeze", opset: 11, dims: [2, 3], attributes: { axes: ints([0, -1]) } },
    { title: "Unsqueeze-21", op: "Unsqueeze", opset: 21, dims: [2, 3], constants: [int64(0, -1)] },
    { title: "Flatten-11", op: "Flatten", opset: 11, dims: [2, 3, 4], attributes: { axis: int(2) } },
    {
      title: "Reshape-14: allowzero",
      op: "Reshape",
      opset: 14,
      dims: [2, 6],
      constants: [int64(2, 2, -1)],
      attributes: { allowzero: int(1) },
    },
    { title: "Reshape: 0 copies", op: "Reshape", opset: 13, dims: [2, 6], constants: [int64(0, 3, -1)] },
    {
      title: "Split-11: sizes attribute",
      op: "Split",
      opset: 11,
      dims: [2, 5],
      attributes: { axis: int(1), split: ints([2, 3]) },
      outputs: 2,
    },
    { title: "Split-11: equal parts", op: "Split", opset: 11, dims: [6, 2], outputs: 3 },
    {
      title: "Split-13: sizes input",
      op: "Split",
      opset: 13,
      dims: [2, 5],
      constants: [int64(1, 4)],
      attributes: { axis: int(-1) },
      outputs: 2,
    },
    {
      title: "Split-13: equal parts",
      op: "Split",
      opset: 13,
      dims: [2, 6],
      attributes: { axis: int(-1) },
      outputs: 2,
    },
    {
      title: "Split-18: parts by number, the last one smaller",
      op: "Split",
      opset: 18,
      dims: [2, 7],
      attributes: { axis: int(1), num_outputs: int(3) },
      outputs: 3,
    },
    ...["Softmax", "LogSoftmax"].flatMap((op): TitledCase[] => [
      { title: `${op}-11: axes flattened from the default one on`, op, opset: 11, dims: [2, 3, 4] },
      { title: `${op}-11: last axis`, op, opset: 11, dims: [2, 3, 4], attributes: { axis: int(-1) } },
      { title: `${op}-11: first axis`, op, opset: 11, dims: [2, 3], attributes: { axis: int(0) } },
      { title: `${op}-13: middle axis`, op, opset: 13, dims: [2, 3, 4], attributes: { axis: int(1) } },
    ]),
    {
      title: "Pad-13",
      op: "Pad",
      opset: 13,
      dims: [2, 3],
      constants: [int64(0, 1, 1, 0), { dims: [], values: [0.5] }],
    },
    {
      title: "Pad-19: wrap",
      op: "Pad",
      opset: 19,
      dims: [2, 3, 4],
      constants: [int64(0, 1, 2, 0, 2, 3)],
      attributes: { mode: text("wrap") },
    },
    {
      title: "Pad-19: wrap on given axes",
      op: "Pad",
      opset: 19,
      dims: [2, 3, 4],
      constants: [int64(1, 1, 0, 2), "", int64(-1, 0)],
      attributes: { mode: text("wrap") },
    },
    {
      title: "Resize-11: empty roi and scales, sizes",
      op: "Resize",
      opset: 11,
      dims: [1, 2, 3, 4],
      constants: [{ dims: [0], values: [] }, { dims: [0], values: [] }, int64(1, 2, 5, 7)],
      attributes: { mode: text("linear"), coordinate_transformation_mode: text("align_corners") },
    },
    {
      title: "Resize-13: scales",
      op: "Resize",
      opset: 13,
      dims: [1, 2, 3, 4],
      constants: [
        { dims: [0], values: [] },
        { dims: [4], values: [1, 1, 2, 2] },
      ],
      attributes: {
        mode: text("nearest"),
        nearest_mode: text("floor"),
        coordinate_transformation_mode: text("asymmetric"),
      },
    },
    {
      title: "BatchNormalization-11",
      op: "BatchNormalization",
      opset: 11,
      dims: [2, 2, 3],
      constants: [weights(2), weights(2), weights(2), { dims: [2], values: [0.5, 1.5] }],
    },
    {
      title: "BatchNormalization-14 with training_mode 0",
      op: "BatchNormalization",
      opset: 14,
      dims: [2, 2, 3],
      constants: [weights(2), weights(2), weights(2), { dims: [2], values: [0.5, 1.5] }],
      attributes: { training_mode: int(0), epsilon: float(1e-3) },
    },
    { title: "Dropout-11", op: "Dropout", opset: 11, dims: [2, 3] },
    {
      title: "Dropout-13 with its ratio",
      op: "Dropout",
      opset: 13,
      dims: [2, 3],
      constants: [{ dims: [], values: [0.3] }],
    },
    {
      title: "Cast-19 with saturate",
      op: "Cast",
      opset: 19,
      dims: [2],
      attributes: { to: int(1), saturate: int(1) },
    },
    {
      title: "Slice-9",
      op: "Slice",
      opset: 9,
      dims: [3, 4, 5],
      attributes: { starts: ints([1, -3]), ends: ints([3, 99]), axes: ints([0, 2]) },
    },
    {
      title: "Slice-7 without axes",
      op: "Slice",
      opset: 7,
      dims: [3, 4],
      attributes: { starts: ints([1]), ends: ints([3]) },
    },
    {
      title: "Slice-10",
      op: "Slice",
      opset: 10,
      dims: [3, 4],
      constants: [int64(3), int64(0), int64(1), int64(-2)],
    },
    {
      title: "Clip-7",
      op: "Clip",
      opset: 7,
      dims: [2, 3],
      attributes: { min: float(-0.25), max: float(0.5) },
    },
    { title: "Clip-9 with one bound", op: "Clip", opset: 9, dims: [2, 3], attributes: { max: float(0.5) } },
    {
      title: "Pad-9",
      op: "Pad",
      opset: 9,
      dims: [2, 3],
      attributes: { pads: ints([0, 1, 1, 0]), value: float(0.5) },
    },
    {
      title: "Pad-9, reflecting",
      op: "Pad",
      opset: 9,
      dims: [2, 3],
      attributes: { pads: ints([0, 1, 0, 2]), mode: text("reflect") },
    },
    {
      title: "TopK-9",
      op: "TopK",
      opset: 9,
      dims: [2, 5],
      attributes: { k: int(2) },
      outputs: 2,
      types: { 1: "int64" },
    },
    {
      title: "Scatter-9",
      op: "Scatter",
      opset: 9,
      dims: [2, 3],
      constants: [{ dims: [1, 2], values: [1, 0], dtype: "int64" }, weights(1, 2)],
    },
    ...["nearest", "linear"].flatMap((mode): TitledCase[] => [
      {
        title: `Upsample-7, ${mode}`,
        op: "Upsample",
        opset: 7,
        dims: [1, 2, 3, 4],
        attributes: { mode: text(mode), scales: { kind: "floats" as const, value: [1, 1, 2, 1.5] } },
      },
      {
        title: `Upsample-9, ${mode}`,
        op: "Upsample",
        opset: 9,
        dims: [1, 2, 3, 4],
        constants: [{ dims: [4], values: [1, 1, 2, 3] }],
        attributes: { mode: text(mode) },
      },
      {
        title: `Resize-10, ${mode}, larger`,
        op: "Resize",
        opset: 10,
        dims: [1, 2, 3, 4],
        constants: [{ dims: [4], values: [1, 1, 1.5, 2] }],
        attributes: { mode: text(mode) },
      },
      {
        title: `Resize-10, ${mode}, smaller`,
        op: "Resize",
        opset: 10,
        dims: [1, 2, 7, 8],
        constants: [{ dims: [4], values: [1, 1, 0.5, 0.6] }],
        attributes: { mode: text(mode) },
      },
    ]),
    {
      title: "BatchNormalization-7 with spatial 1",
      op: "BatchNormalization",
      opset: 7,
      dims: [2, 2, 3],
      constants: [weights(2), weights(2), weights(2), { dims: [2], values: [0.5, 1.5] }],
      attributes: { spatial: int(1) },
    },
    { title: "Dropout-7", op: "Dropout", opset: 7, dims: [2, 3], attributes: { ratio: float(0.5) } },
    { title: "Clip-11", op: "Clip", opset: 11, dims: [2, 3], constants: [{ dims: [], values: [-0.25] }] },
    { title: "ReduceMax-20", op: "ReduceMax", opset: 20, dims: [2, 3], constants: [int64(1)] },
  ];
  it.each(cases)("$title", async (c) => {
    const prepared = await expectSameAfterPreparing(graphOf(c));
    expect(prepared.opset).toBe(targetOpset);
  });

  it("AveragePool-19 with dilations", async () => {
    const pool = (dilation: number, padding: Attributes): Graph =>
      graphOf({
        op: "AveragePool",
        opset: 19,
        dims: [1, 2, 6, 6],
        attributes: { kernel_shape: ints([2, 2]), dilations: ints([dilation, dilation]), ...padding },
      });
    await expectSameAfterPreparing(pool(1, { pads: ints([1, 0, 0, 1]) }));
    await expectSameAfterPreparing(pool(1, { auto_pad: text("SAME_UPPER"), strides: ints([2, 2]) }));
    await expectSameAfterPreparing(pool(2, { pads: ints([1, 0, 0, 1]) }));
  });

  it("names an operator that is newer than the target and that nothing covers", async () => {
    const b = builderAt(23);
    const x = b.input("x", [1, 2, 3, 4]);
    // The scores that it hands out have no form in smaller operators here.
    const [y, , , scores] = b.ops("Attention", [x, x, x], 4);
    b.output(y!, { dims: [1, 2, 3, 4] });
    b.output(scores!, { dims: [1, 2, 3, 3] });
    const preparing = prepareGraph(nodeRuntime({ threads: 1 }), b.graph, { x: [1, 2, 3, 4] });
    await expect(preparing).rejects.toThrow(/Attention.*no pullback rule/);
  });

  it("leaves names to the values that nodes of the file made", async () => {
    const b = builderAt(11);
    const x = b.input("x", [2, 3, 4]);
    const soft = b.named("Softmax", [x], "attention");
    b.output(b.named("Mul", [soft, soft], "squared"), { dims: [2, 3, 4] });
    const prepared = await expectSameAfterPreparing(b.graph);
    expect(prepared.nodes.map((node) => node.outputs[0])).toContain("attention");
  });

  it.each([
    { op: "BatchNormalization", outputs: 3 },
    { op: "Dropout", outputs: 1 },
  ])("refuses $op in training mode", async ({ op, outputs }) => {
    const attributes: Attributes = op === "Dropout" ? {} : { training_mode: int(1) };
    const constants =
      op === "Dropout"
        ? [
            { dims: [], values: [0.5] },
            { dims: [], values: [1], dtype: "bool" as const },
          ]
        : [weights(2), weights(2), weights(2), { dims: [2], values: [1, 1] }];
    const graph = graphOf({ op, opset: 15, dims: [2, 2, 3], constants, attributes, outputs });
    await expect(prepareGraph(nodeRuntime({ threads: 1 }), graph, { x: [2, 2, 3] })).rejects.toThrow(
      /training mode/,
    );
  });
});

describe("ONNX Runtime's own operators become standard ones", () => {
  const ms = "com.microsoft";
  const cases: (NodeCase & { readonly title: string; readonly becomes: readonly string[] })[] = [
    {
      title: "BiasGelu",
      op: "BiasGelu",
      opset: 14,
      domain: ms,
      dims: [2, 3],
      constants: [weights(3)],
      becomes: ["Add", "Gelu"],
    },
    {
      title: "FastGelu with a bias",
      op: "FastGelu",
      opset: 14,
      domain: ms,
      dims: [2, 3],
      constants: [weights(3)],
      becomes: ["Add", "FastGelu"],
    },
    {
      title: "FusedMatMul",
      op: "FusedMatMul",
      opset: 14,
      domain: ms,
      dims: [2, 4, 3],
      constants: [weights(2, 5, 4)],
      attributes: { alpha: float(0.5), transA: int(1), transB: int(1) },
      becomes: ["Transpose", "MatMul", "Mul"],
    },
    ...[
      { activation: "Relu", parameters: [] },
      { activation: "LeakyRelu", parameters: [0.2] },
      { activation: "Clip", parameters: [-0.1, 0.3] },
      { activation: "HardSigmoid", parameters: [0.2, 0.4] },
      { activation: "Sigmoid", parameters: [] },
      { activation: "Tanh", parameters: [] },
    ].map(({ activation, parameters }) => ({
      title: `FusedConv with ${activation}`,
      op: "FusedConv",
      opset: 14,
      domain: ms,
      dims: [1, 2, 5, 5],
      constants: [weights(3, 2, 3, 3), weights(3)],
      attributes: {
        activation: text(activation),
        ...(parameters.length > 0
          ? { activation_params: { kind: "floats" as const, value: parameters } }
          : {}),
        pads: ints([1, 1, 1, 1]),
      },
      becomes: ["Conv", activation],
    })),
    {
      title: "FusedConv that adds a residual",
      op: "FusedConv",
      opset: 14,
      domain: ms,
      dims: [1, 2, 4, 4],
      constants: [weights(2, 2, 1, 1), weights(2), weights(1, 2, 4, 4)],
      attributes: { activation: text("Relu") },
      becomes: ["Conv", "Add", "Relu"],
    },
    {
      title: "SkipLayerNormalization",
      op: "SkipLayerNormalization",
      opset: 14,
      domain: ms,
      dims: [2, 3, 4],
      constants: [weights(2, 3, 4), weights(4), weights(4), weights(4)],
      attributes: { epsilon: float(1e-5) },
      becomes: ["Add", "Add", "LayerNormalization"],
    },
    {
      title: "SkipSimplifiedLayerNormalization",
      op: "SkipSimplifiedLayerNormalization",
      opset: 14,
      domain: ms,
      dims: [2, 3, 4],
      constants: [weights(2, 3, 4), weights(4)],
      becomes: ["Add", "SimplifiedLayerNormalization"],
    },
  ];
  it.each(cases)("$title", async ({ becomes, ...c }) => {
    const prepared = await expectSameAfterPreparing(graphOf(c));
    expect(opsOf(prepared)).toEqual(becomes);
  });

  it("the sum that SkipLayerNormalization hands out", async () => {
    const b = builderAt(14);
    const x = b.input("x", [1, 2, 4]);
    const skip = b.input("skip", [1, 2, 4]);
    const scale = b.floats([4], [1, 2, 3, 4]);
    b.graph.nodes.push({
      op: "SkipLayerNormalization",
      domain: ms,
      name: "norm",
      inputs: [x, skip, scale],
      outputs: ["normalized", "", "", "sum"],
      attributes: {},
    });
    b.output("normalized", { dims: [1, 2, 4] });
    b.output("sum", { dims: [1, 2, 4] });
    await expectSameAfterPreparing(b.graph);
  });

  it.each([false, true])("MultiHeadAttention (bias and score bias: %s)", async (biased) => {
    const [batch, length, heads, size] = [2, 5, 2, 3];
    const width = heads * size;
    const b = builderAt(17);
    const inputs = ["query", "key", "value"].map((name, i) =>
      b.input(name, [batch, i === 0 ? length : 4, width]),
    );
    const given = (...dims: number[]) => b.floats(dims, weights(...dims).values);
    const extra = biased ? [given(3 * width), "", given(1, heads, length, 4)] : [];
    b.output(b.op("MultiHeadAttention", [...inputs, ...extra], { num_heads: int(heads) }, ms), {
      dims: [batch, length, width],
    });
    const prepared = await expectSameAfterPreparing(b.graph);
    expect(opsOf(prepared)).toContain("Softmax");
  });

  it("Attention with one weight for queries, keys and values", async () => {
    const [batch, length, heads, width] = [2, 5, 2, 6];
    const b = builderAt(17);
    const x = b.input("x", [batch, length, width]);
    const weight = b.floats([width, 3 * width], weights(width, 3 * width).values);
    const bias = b.floats([3 * width], weights(3 * width).values);
    b.output(b.op("Attention", [x, weight, bias], { num_heads: int(heads) }, ms), {
      dims: [batch, length, width],
    });
    const prepared = await expectSameAfterPreparing(b.graph);
    expect(opsOf(prepared)).toContain("Softmax");
  });
});

describe("quantized models", () => {
  it("are refused by the name of the operator", async () => {
    const b = builderAt(13);
    const x = b.input("x", [2, 3]);
    const [q, scale, zero] = b.ops("DynamicQuantizeLinear", [x], 3);
    const w = b.constant(constantOf("int8", [3, 2], [1, -2, 3, 4, 5, -6]));
    const product = b.op("MatMulInteger", [q!, w, zero!]);
    b.output(b.op("Mul", [b.op("Cast", [product], { to: int(1) }), scale!]), { dims: [2, 2] });
    const prepared = prepareGraph(nodeRuntime({ threads: 1 }), b.graph, { x: [2, 3] });
    await expect(prepared).rejects.toThrow(ModelError);
    await expect(prepared).rejects.toThrow(/quantized \(DynamicQuantizeLinear.*float32 or float16/);
  });

  it("of four-bit weights, and of integer convolutions, are refused by the names of their operators", async () => {
    const b = builderAt(18);
    const x = b.input("x", [2, 32]);
    const packed = b.constant(constantOf("uint8", [3, 1, 16], new Uint8Array(48).fill(0x79)));
    const attributes = { K: int(32), N: int(3), bits: int(4), block_size: int(32) };
    const scales = b.floats([3], [0.1, 0.2, 0.3]);
    b.output(b.op("MatMulNBits", [x, packed, scales], attributes, "com.microsoft"), { dims: [2, 3] });
    const runtime = nodeRuntime({ threads: 1 });
    await expect(prepareGraph(runtime, b.graph, { x: [2, 32] })).rejects.toThrow(
      /quantized \(com\.microsoft\.MatMulNBits ".*no gradient.*float32 or float16/,
    );

    const c = builderAt(18);
    const image = c.input("x", [1, 3, 4, 4], "uint8");
    const quantized = (value: number) => c.constant(constantOf("uint8", [], [value]));
    const weights = c.constant(constantOf("uint8", [2, 3, 3, 3], new Uint8Array(54).fill(5)));
    const [scale, zero] = [c.scalar(0.1), quantized(3)];
    const y = c.op("QLinearConv", [image, scale, zero, weights, scale, zero, scale, zero]);
    c.output(y, { dims: [1, 2, 2, 2], dtype: "uint8" });
    await expect(prepareGraph(runtime, c.graph, { x: [1, 3, 4, 4] })).rejects.toThrow(
      /quantized \(QLinearConv ".*no gradient/,
    );
  });

  it("whose weights alone are integers become float32", async () => {
    const b = builderAt(13);
    const x = b.input("x", [2, 3]);
    const w = b.constant(constantOf("int8", [3, 2], [1, -2, 3, 4, 5, -6]));
    const weight = b.op("DequantizeLinear", [w, b.scalar(0.1)]);
    b.output(b.op("MatMul", [x, weight]), { dims: [2, 2] });
    expect(opsOf(await expectSameAfterPreparing(b.graph))).toEqual(["MatMul"]);
  });
});

describe("half precision", () => {
  it.each(["float16", "bfloat16"] as const)(
    "%s weights, casts and declarations become float32",
    async (dtype) => {
      const b = builderAt(17);
      const x = b.input("x", [2, 3], dtype);
      const values = [0.5, -1.25, 3, 2 ** -20, 100, -0.1];
      const words = Uint16Array.from(values, dtype === "float16" ? float16Of : bfloat16Of);
      const bytes = new Uint8Array(words.buffer);
      b.graph.constants.set("w", { dtype, dims: [3, 2], bytes });
      const inFloat = b.op("Cast", [b.op("MatMul", [x, "w"])], { to: int(1) });
      const back = b.op("Cast", [b.op("Exp", [inFloat])], { to: int(dtype === "float16" ? 10 : 16) });
      b.output(back, { dims: [2, 2], dtype });
      const prepared = await prepareGraph(nodeRuntime({ threads: 1 }), b.graph, { x: [2, 3] });
      expect(prepared.inputs[0].dtype).toBe("float32");
      expect(prepared.outputs[0].dtype).toBe("float32");
      expect([...prepared.types.values()].map((t) => t.dtype)).not.toContain(dtype);
      const { resultsOf } = await import("../../support/same-results.ts");
      const input = randomArray([2, 3], randomNumbers(3));
      const [result] = await resultsOf(prepared, { x: input });
      const rounded = [0.5, -1.25, 3, 2 ** -20, 100, dtype === "float16" ? -0.0999755859375 : -0.10009765625];
      for (let i = 0; i < 2; i++) {
        for (let j = 0; j < 2; j++) {
          const sum = [0, 1, 2].reduce((s, k) => s + input.data[3 * i + k] * rounded[2 * k + j], 0);
          expect(result!.data[2 * i + j] / Math.exp(sum)).toBeCloseTo(1, 5);
        }
      }
    },
  );

  /** Bits of the nearest half-precision number, from IEEE 754's definition (finite numbers only). */
  function float16Of(value: number): number {
    const sign = value < 0 ? 0x8000 : 0;
    const size = Math.abs(value);
    const exponent = Math.max(Math.floor(Math.log2(size)), -14);
    const steps = Math.round(size / 2 ** (exponent - 10));
    return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + steps - 1024);
  }
  /** Bits of the nearest bfloat16: the upper half of the float32. */
  function bfloat16Of(value: number): number {
    const [word] = new Uint32Array(Float32Array.of(value).buffer);
    return (word! + 0x8000) >>> 16;
  }
});

describe("branches on what is known", () => {
  /** if (batch of x == 1) squeeze else pass, as exporters write it. */
  function graphWithIf(): Graph {
    const b = builderAt(13);
    const x = b.input("x", ["n", 1, 3]);
    const shape = b.op("Shape", [x]);
    const second = b.op("Gather", [shape, b.constant(constantOf("int64", [], [1]))]);
    const isOne = b.op("Equal", [second, b.constant(constantOf("int64", [], [1]))]);
    const body = (build: (inner: GraphBuilder) => string): Graph => {
      const inner = new GraphBuilder({ ...emptyGraph("branch"), opset: 13 });
      const value = build(inner);
      inner.graph.outputs.push({ name: value, dtype: "float32", dims: [] });
      return inner.graph;
    };
    const then = body((inner) => inner.op("Mul", [inner.op("Squeeze", [x, inner.ints([1])]), "twice"]));
    const otherwise = body((inner) => inner.op("Neg", [x]));
    b.constant(constantOf("float32", [], [2]), "twice");
    b.graph.nodes.push({
      op: "If",
      domain: "",
      name: "If_0",
      inputs: [isOne],
      outputs: ["chosen"],
      attributes: {
        then_branch: { kind: "graph", value: then },
        else_branch: { kind: "graph", value: otherwise },
      },
    });
    b.output(b.op("Exp", ["chosen"]), { dims: ["n", 3] });
    return b.graph;
  }

  it("are put in place of the If, also for batches that were not run", async () => {
    const prepared = await prepareGraph(nodeRuntime({ threads: 1 }), graphWithIf(), { x: [7, 1, 3] });
    expect(opsOf(prepared)).toEqual(["Reshape", "Mul", "Exp"]);
    expect(prepared.types.get(prepared.outputs[0].name)!.dims).toEqual([7, 3]);
    const { resultsOf } = await import("../../support/same-results.ts");
    const x = randomArray([7, 1, 3], randomNumbers(1));
    const [result] = await resultsOf(prepared, { x });
    for (const [i, v] of x.data.entries()) expect(result!.data[i] / Math.exp(2 * v)).toBeCloseTo(1, 5);
  });
});
