import { Tensor } from "onnxruntime-common";
import { openSafetensors } from "../../src/files/safetensors.ts";
import type { Activations } from "../../src/onnx-vjp/compile/differentiable.ts";
import { compileDerivative } from "../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../src/onnx-vjp/compile/plan.ts";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../../src/onnx-vjp/prepare/prepare.ts";
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
  const cut = withoutDeadNodes({ ...graph, outputs: [{ name: feature, dtype: "float32", dims: [] }] });
  const traced = await prepareGraph(runtime, cut, { [input]: dims });
  const compiled = await compileDerivative(
    runtime,
    planDerivative(traced, [input], feature),
    options.activations,
    {
      precision: options.precision,
    },
  );
  const feeds = { [input]: new Tensor("float32", images, [...dims]) };
  const { value, saved } = await compiled.forward(feeds);
  const pulled = await compiled.pullback(feeds, saved, cotangent);
  await compiled.release();
  return {
    features: relativeError(value, features),
    gradient: relativeError(pulled[input], gradient),
  };
}
