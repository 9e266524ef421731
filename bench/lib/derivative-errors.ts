import { openSafetensors } from "../../src/files/safetensors.ts";
import type { Activations } from "../../src/onnx-vjp/compile/differentiable.ts";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { derivativeOf } from "./derivative.ts";
import { relativeError } from "./measure.ts";

/** ‖ours − reference‖ / ‖reference‖ of a feature and of its pixel gradient. */
export interface DerivativeErrors {
  readonly features: number;
  readonly gradient: number;
}

/** Errors of a graph on the tensors `input`, `features`, `cotangent` and `pixel_gradient` of a safetensors file. */
export async function derivativeErrors(
  runtime: Runtime,
  graph: Graph,
  input: string,
  feature: string,
  tensors: string,
  options: { readonly activations: Activations; readonly precision: "float32" | "float16" },
): Promise<DerivativeErrors> {
  const file = await openSafetensors(tensors);
  const dims = file.tensors.get("input")!.shape;
  const [images, features, cotangent, gradient] = (await Promise.all(
    ["input", "features", "cotangent", "pixel_gradient"].map((name) => file.float32(name)),
  )) as [Float32Array, Float32Array, Float32Array, Float32Array];
  await file.close();
  const inputs = { dims, images, cotangent };
  const found = await derivativeOf(runtime, graph, input, feature, inputs, options);
  return {
    features: relativeError(found.features, features),
    gradient: relativeError(found.gradient, gradient),
  };
}
