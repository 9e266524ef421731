import type { GraphBuilder } from "../../graph/builder.ts";
import { constantOf } from "../../graph/constant.ts";
import { protoOfDataType } from "../../graph/data-type.ts";
import {
  float,
  floatAttribute,
  fromFront,
  int,
  intAttribute,
  intsAttribute,
  type Node,
  sizeOf,
  stringAttribute,
} from "../../graph/ir.ts";
import { lowerAttention } from "./attention.ts";
import type { LoweringContext, LoweringTable } from "./lowering.ts";
import { lowerRotaryEmbedding } from "./rotary-embedding.ts";

/**
 * Operators that ONNX defines by smaller ones, and those newer than the target operator set. Where ONNX
 * Runtime has one fused operator with a pullback rule, that is what they become.
 */
export const compositeLowerings: LoweringTable = {
  Attention: lowerAttention,
  RotaryEmbedding: lowerRotaryEmbedding,

  Gelu: ({ node, b }) => {
    const tanh = stringAttribute(node, "approximate", "none") === "tanh";
    return [b.op(tanh ? "FastGelu" : "Gelu", [node.inputs[0]], {}, "com.microsoft")];
  },

  // ONNX Runtime's operator takes a scale of the normalized shape, without broadcasting.
  RMSNormalization: ({ node, b, type }) => {
    const [x, scale] = node.inputs as readonly [string, string];
    const { dims } = type(x);
    const normalized = dims.slice(fromFront(intAttribute(node, "axis", -1), dims.length));
    const own = type(scale).dims;
    const matches = own.length === normalized.length && own.every((d, i) => d === normalized[i]);
    const whole = matches ? scale : b.op("Expand", [scale, b.ints(normalized)]);
    return rmsNormalization(b, node, whole, dims, 1);
  },

  SimplifiedLayerNormalization: ({ node, b, type }) => {
    const { dims } = type(node.inputs[0]);
    if (fromFront(intAttribute(node, "axis", -1), dims.length) === dims.length - 1) return undefined;
    return rmsNormalization(b, node, node.inputs[1], dims, node.outputs.length);
  },

  GroupNormalization: (context) => [groupNormalization(context)],

  // (x − mean)/(deviation + 1e-9)
  MeanVarianceNormalization: ({ node, b, type }) => {
    const x = node.inputs[0];
    const { dims, dtype } = type(x);
    const axes = b.ints(
      (intsAttribute(node, "axes") ?? [0, 2, 3]).map((axis) => fromFront(axis, dims.length)),
    );
    const mean = (value: string) => b.op("ReduceMean", [value, axes], { keepdims: int(1) });
    const centered = b.op("Sub", [x, mean(x)]);
    const deviation = b.op("Sqrt", [mean(b.op("Mul", [centered, centered]))]);
    return [b.op("Div", [centered, b.op("Add", [deviation, b.scalar(1e-9, dtype)])])];
  },

  // x − bias above λ, x + bias below −λ, 0 between
  Shrink: ({ node, b, type }) => {
    const x = node.inputs[0];
    const scalar = (value: number) => b.scalar(value, type(x).dtype);
    const bias = scalar(floatAttribute(node, "bias", 0));
    const lambda = floatAttribute(node, "lambd", 0.5);
    const above = b.op("Greater", [x, scalar(lambda)]);
    const below = b.op("Less", [x, scalar(-lambda)]);
    const raised = b.op("Where", [below, b.op("Add", [x, bias]), scalar(0)]);
    return [b.op("Where", [above, b.op("Sub", [x, bias]), raised])];
  },

  CastLike: ({ node, b, type }) => [
    b.op("Cast", [node.inputs[0]], { to: int(protoOfDataType(type(node.inputs[1]).dtype)) }),
  ],

  Size: ({ node, b, type }) => [b.constant(constantOf("int64", [], [sizeOf(type(node.inputs[0]).dims)]))],
};

/**
 * SimplifiedLayerNormalization over one axis: ONNX Runtime infers the shape of its result wrongly over several.
 * @param scale of the normalized axes' shape
 */
function rmsNormalization(
  b: GraphBuilder,
  node: Node,
  scale: string,
  dims: readonly number[],
  outputs: number,
): string[] {
  const axis = fromFront(intAttribute(node, "axis", -1), dims.length);
  const epsilon = float(floatAttribute(node, "epsilon", 1e-5));
  const apply = (x: string, by: string) =>
    b.ops("SimplifiedLayerNormalization", [x, by], outputs, { axis: int(-1), epsilon });
  if (axis === dims.length - 1) return apply(node.inputs[0], scale);
  const count = sizeOf(dims.slice(axis));
  const [y, deviation] = apply(
    b.reshape(node.inputs[0], [...dims.slice(0, axis), count]),
    b.reshape(scale, [count]),
  ) as [string, string?];
  const kept = dims.map((d, i) => (i < axis ? d : 1));
  return [b.reshape(y, dims), ...(deviation === undefined ? [] : [b.reshape(deviation, kept)])];
}

/**
 * Groups become channels of an InstanceNormalization. Scale and bias are one number a group up to operator
 * set 20, and go into it; from 21 on one per channel, and follow it.
 */
function groupNormalization({ node, b, type, opset }: LoweringContext): string {
  const [x, scale, bias] = node.inputs as readonly [string, string, string];
  const { dims, dtype } = type(x);
  const [n, channels] = dims as readonly [number, number];
  const groups = intAttribute(node, "num_groups", 1);
  const epsilon = { epsilon: float(floatAttribute(node, "epsilon", 1e-5)) };
  if (groups === channels) return b.op("InstanceNormalization", [x, scale, bias], epsilon);
  const grouped = b.reshape(x, [n, groups, sizeOf(dims) / (n * groups)]);
  if (opset < 21) {
    return b.reshape(b.op("InstanceNormalization", [grouped, scale, bias], epsilon), dims);
  }
  const every = (value: number) =>
    b.constant(constantOf(dtype, [groups], new Float64Array(groups).fill(value)));
  const normalized = b.op("InstanceNormalization", [grouped, every(1), every(0)], epsilon);
  const perChannel = (value: string) => b.reshape(value, [channels, ...dims.slice(2).map(() => 1)]);
  const scaled = b.op("Mul", [b.reshape(normalized, dims), perChannel(scale)]);
  return b.op("Add", [scaled, perChannel(bias)]);
}
