import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { imagesInput } from "../../../src/encoder/batched-features.ts";
import { createEncoder } from "../../../src/encoder/encoder.ts";
import { loadEncoderModel } from "../../../src/encoder/load/load.ts";
import { openSafetensors } from "../../../src/files/safetensors.ts";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { relativeError } from "../../support/check-rule.ts";

const folder = fileURLToPath(new URL("../../fixtures/cases", import.meta.url));

// Features and gradients that the families' own libraries compute from the folders, in float64.
describe("a folder as people have it gives its library's features", () => {
  it.each([
    ["hf-clip-cls", "mean of the patches"],
    ["timm-poolprefix", "mean of all tokens"],
  ])("%s", async (name, pooled) => {
    const file = await openSafetensors(join(folder, name, "expected.safetensors"));
    const [images, features, cotangent, gradient] = await Promise.all(
      ["images", "features", "cotangent", "gradient"].map((tensor) => file.floats(tensor)),
    );
    const dims = file.tensors.get("images")!.shape;
    await file.close();
    const runtime = nodeRuntime({ threads: 1 });
    const encoder = await createEncoder(runtime, await loadEncoderModel(join(folder, name)));
    expect(encoder.feature.pool).toBe(pooled);
    const compiled = await compileDerivative(runtime, await encoder.plan(dims[0]!), "save");
    const feeds = { [imagesInput]: new Tensor("float32", images!, [...dims]) };
    const { value, saved } = await compiled.forward(feeds);
    const pulled = await compiled.pullback(feeds, saved, cotangent!);
    await compiled.release();
    await encoder.release();
    expect(relativeError(value, features!)).toBeLessThan(1e-5);
    expect(relativeError(pulled[imagesInput]!, gradient!)).toBeLessThan(1e-4);
  });
});
