import type { Device } from "../graph/runtime.ts";

const inHalfOfNone: ReadonlySet<string> = new Set();

/**
 * Operators that ONNX Runtime computes in half precision itself where its numbers are, instead of in float32 inside:
 * CUDA's softmax and normalizations add up in float32 whatever comes in.
 */
const wideOfOthers: ReadonlySet<string> = new Set([
  ...["AveragePool", "GlobalAveragePool", "LayerNormalization", "LogSoftmax", "Softmax"],
]);

/** What is kept in float32 on a device beside what always is. */
export function float32OperatorsOn(device: Device): ReadonlySet<string> {
  return device === "cuda" ? inHalfOfNone : wideOfOthers;
}
