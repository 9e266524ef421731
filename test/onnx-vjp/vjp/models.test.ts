import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { planDerivative } from "../../../src/onnx-vjp/compile/plan.ts";
import { withoutDeadNodes } from "../../../src/onnx-vjp/graph/live.ts";
import { readOnnx } from "../../../src/onnx-vjp/graph/read-onnx.ts";
import { prepareGraph } from "../../../src/onnx-vjp/prepare/prepare.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { type Array64, array64, relativeError } from "../../support/check-rule.ts";
import { pullbackOf, tensorOf } from "../../support/pullback.ts";
import { resultsOf } from "../../support/same-results.ts";

const folder = fileURLToPath(new URL("../../fixtures/models", import.meta.url));

interface Meta {
  readonly input: string;
  readonly feature: string;
  readonly inputShape: readonly number[];
  readonly featureShape: readonly number[];
}

/** The float32 arrays of a safetensors file. */
async function readTensors(path: string): Promise<Record<string, Array64>> {
  const file = await readFile(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, start).toString()) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  const arrays = Object.entries(header).flatMap(([name, entry]) => {
    if (name === "__metadata__") return [];
    const [from, to] = entry.data_offsets;
    const bytes = Uint8Array.from(file.subarray(start + from, start + to));
    return [[name, array64(entry.shape, new Float32Array(bytes.buffer))] as const];
  });
  return Object.fromEntries(arrays);
}

// Made by tools/make_model_fixtures.py: features and pixel gradients of PyTorch in float64.
describe("whole networks agree with PyTorch", () => {
  it.each(readdirSync(folder))("%s", async (name) => {
    const meta = JSON.parse(await readFile(join(folder, name, "meta.json"), "utf8")) as Meta;
    const tensors = await readTensors(join(folder, name, "tensors.safetensors"));
    const read = await readOnnx(await readFile(join(folder, name, "model.onnx")), name);
    const cut = withoutDeadNodes({ ...read, outputs: [{ name: meta.feature, dtype: "float32", dims: [] }] });
    const runtime = nodeRuntime({ threads: 1 });
    const prepared = await prepareGraph(runtime, cut, { [meta.input]: meta.inputShape });
    const inputs = { [meta.input]: tensors.input! };

    const [features] = await resultsOf(prepared, inputs);
    expect(features!.dims).toEqual(meta.featureShape);
    expect(relativeError(features!.data, tensors.features!.data)).toBeLessThan(1e-5);
    const { gradients } = await pullbackOf(prepared, inputs, [meta.input], [tensors.cotangent!]);
    expect(relativeError(gradients[0], tensors.pixel_gradient!.data)).toBeLessThan(1e-4);

    // Cut in two, the joint graph is still the same function and the same gradient.
    const plan = planDerivative(prepared, [meta.input], meta.feature);
    const feeds = { [meta.input]: tensorOf(tensors.input!) };
    for (const activations of ["save", "recompute"] as const) {
      const compiled = await compileDerivative(runtime, plan, activations);
      const { value, saved } = await compiled.forward(feeds);
      const pulled = await compiled.pullback(feeds, saved, Float32Array.from(tensors.cotangent!.data));
      await compiled.release();
      expect(relativeError(value, features!.data), activations).toBeLessThan(1e-5);
      expect(relativeError(pulled[meta.input], gradients[0]), activations).toBeLessThan(1e-5);
    }
  });
});
