import type { GraphBuilder } from "../../graph/builder.ts";
import {
  type Attributes,
  type DataType,
  float,
  floatAttribute,
  int,
  intAttribute,
  type Node,
  stringAttribute,
} from "../../graph/ir.ts";
import { lowerFusedAttention, lowerMultiHeadAttention } from "./contrib-attention.ts";
import type { LoweringContext, LoweringTable } from "./lowering.ts";

/**
 * ONNX Runtime's own operators, as its optimizer and the exporters that call it leave them in files. Those
 * with a pullback rule (Gelu, FastGelu, QuickGelu) stay; forms that are not covered stay, too, and the check
 * for rules names them.
 */
export const contribLowerings: LoweringTable = {
  "com.microsoft.BiasGelu": ({ node, b }) => [b.op("Gelu", [b.op("Add", node.inputs)], {}, "com.microsoft")],
  "com.microsoft.FastGelu": ({ node, b }) => {
    if ((node.inputs[1] ?? "") === "") return undefined;
    return [b.op("FastGelu", [b.op("Add", node.inputs)], {}, "com.microsoft")];
  },
  "com.microsoft.FusedMatMul": lowerFusedMatMul,
  "com.microsoft.FusedConv": ({ node, b, type }) => {
    const [x, weight, bias = "", sum = ""] = node.inputs as readonly [string, string, string?, string?];
    const conv = b.op("Conv", bias === "" ? [x, weight] : [x, weight, bias], withoutActivation(node));
    const given = node.attributes.activation_params;
    const parameters = given?.kind === "floats" ? given.value : [];
    return activated(b, node, sum === "" ? conv : b.op("Add", [conv, sum]), parameters, type(x).dtype);
  },
  "com.microsoft.FusedGemm": ({ node, b, type }) => {
    const gemm = b.op("Gemm", node.inputs, withoutActivation(node));
    const parameters = ["activation_alpha", "activation_beta"].map((key) => floatAttribute(node, key, 0));
    return activated(b, node, gemm, parameters, type(node.inputs[0]).dtype);
  },
  "com.microsoft.SkipLayerNormalization": ({ node, b }) => {
    const [x, skip, scale, shift = "", bias = ""] = node.inputs as unknown as Five;
    const sum = addAll(b, [x, skip, bias]);
    return [
      normalized(b, node, "LayerNormalization", shift === "" ? [sum, scale] : [sum, scale, shift]),
      "",
      "",
      sum,
    ];
  },
  "com.microsoft.SkipSimplifiedLayerNormalization": ({ node, b }) => {
    const [x, skip, scale, bias = ""] = node.inputs as unknown as Five;
    const sum = addAll(b, [x, skip, bias]);
    return [normalized(b, node, "SimplifiedLayerNormalization", [sum, scale]), "", "", sum];
  },
  "com.microsoft.MultiHeadAttention": lowerMultiHeadAttention,
  "com.microsoft.Attention": lowerFusedAttention,
};

type Five = readonly [string, string, string, string?, string?];

function addAll(b: GraphBuilder, values: readonly string[]): string {
  return values.filter((v) => v !== "").reduce((sum, v) => b.op("Add", [sum, v]));
}

function normalized(b: GraphBuilder, node: Node, op: string, inputs: readonly string[]): string {
  const epsilon = float(floatAttribute(node, "epsilon", 1e-12));
  return b.op(op, inputs, { axis: int(-1), epsilon });
}

/** alpha·op(A)·op(B), where op transposes the last two axes. */
function lowerFusedMatMul({ node, b, type }: LoweringContext): readonly string[] | undefined {
  if (intAttribute(node, "transBatchA", 0) !== 0 || intAttribute(node, "transBatchB", 0) !== 0)
    return undefined;
  const [x, y] = ["transA", "transB"].map((key, i) => {
    const input = node.inputs[i];
    const rank = type(input).dims.length;
    if (intAttribute(node, key, 0) === 0 || rank < 2) return input;
    return b.transpose(input, [...new Array(rank - 2).keys(), rank - 1, rank - 2]);
  }) as [string, string];
  const product = b.op("MatMul", [x, y]);
  const alpha = floatAttribute(node, "alpha", 1);
  return [alpha === 1 ? product : b.op("Mul", [product, b.scalar(alpha, type(node.inputs[0]).dtype)])];
}

function withoutActivation(node: Node): Attributes {
  return Object.fromEntries(Object.entries(node.attributes).filter(([key]) => !key.startsWith("activation")));
}

/** The activation that was fused into a node, as a separate node; undefined for one that is not known. */
function activated(
  b: GraphBuilder,
  node: Node,
  value: string,
  parameters: readonly number[],
  dtype: DataType,
): readonly string[] | undefined {
  const [first = 0, second = 0] = parameters;
  const activation = stringAttribute(node, "activation", "");
  switch (activation) {
    case "":
      return [value];
    case "Relu":
    case "Tanh":
    case "Sigmoid":
    case "HardSwish":
      return [b.op(activation, [value])];
    case "LeakyRelu":
      return [b.op("LeakyRelu", [value], { alpha: float(first) })];
    case "HardSigmoid":
      return [b.op("HardSigmoid", [value], { alpha: float(first), beta: float(second) })];
    case "Clip":
      return [b.op("Clip", [value, b.scalar(first, dtype), b.scalar(second, dtype)])];
    default:
      return undefined;
  }
}
