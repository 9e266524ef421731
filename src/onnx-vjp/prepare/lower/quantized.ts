import { ModelError } from "../../errors.ts";
import { describeNode } from "../../graph/ir.ts";
import type { Lowering, LoweringTable } from "./lowering.ts";

const standard = [
  ...["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"],
  ...["QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"],
];

const contrib = [
  ...["QuantizeLinear", "DequantizeLinear", "QGemm", "QAttention", "QEmbedLayerNormalization", "QMoE"],
  ...["QLinearAdd", "QLinearMul", "QLinearConv", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid"],
  ...[
    "QLinearSoftmax",
    "QLinearReduceMean",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearWhere",
  ],
  ...["DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulInteger16", "MatMulIntegerToFloat"],
  ...["MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "QOrderedMatMul", "QOrderedAttention", "QOrderedGelu"],
];

const refuse: Lowering = ({ node }) => {
  throw new ModelError(
    `The model is quantized (${describeNode(node)}): rounding to integers has no gradient. ` +
      "Fetch its float32 or float16 file instead (model.onnx or model_fp16.onnx).",
  );
};

/** Quantized operators that are left after folding, and so work on the image: refused by name. */
export const quantizedLowerings: LoweringTable = Object.fromEntries([
  ...standard.map((op) => [op, refuse] as const),
  ...contrib.map((op) => [`com.microsoft.${op}`, refuse] as const),
]);
