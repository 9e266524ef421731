import { Tensor } from "onnxruntime-common";
import { type Activations, compileDerivative } from "../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../src/onnx-vjp/compile/plan.ts";
import type { Graph } from "../../src/onnx-vjp/graph/ir.ts";
import { withoutDeadNodes } from "../../src/onnx-vjp/graph/live.ts";
import type { Runtime } from "../../src/onnx-vjp/graph/runtime.ts";
import { prepareGraph } from "../../src/onnx-vjp/prepare/prepare.ts";

/** What a feature and its pullback are computed of. */
export interface DerivativeInputs {
  readonly dims: readonly number[];
  readonly images: Float32Array;
  readonly cotangent: Float32Array;
}

/** A graph's feature, and the pullback of a cotangent to its input. Runs in Node and in browsers. */
export async function derivativeOf(
  runtime: Runtime,
  graph: Graph,
  input: string,
  feature: string,
  { dims, images, cotangent }: DerivativeInputs,
  {
    activations,
    precision = "float32",
  }: { readonly activations: Activations; readonly precision?: "float32" | "float16" },
): Promise<{ readonly features: Float32Array; readonly gradient: Float32Array }> {
  const cut = withoutDeadNodes({ ...graph, outputs: [{ name: feature, dtype: "float32", dims: [] }] });
  const traced = await prepareGraph(runtime, cut, { [input]: [...dims] });
  const plan = planDerivative(traced, [input], feature);
  const compiled = await compileDerivative(runtime, plan, activations, { precision });
  try {
    const feeds = { [input]: new Tensor("float32", images, [...dims]) };
    const { value, saved } = await compiled.forward(feeds);
    const pulled = await compiled.pullback(feeds, saved, cotangent);
    return { features: value, gradient: pulled[input] };
  } finally {
    await compiled.release();
  }
}
