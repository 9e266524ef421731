import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { countFlops } from "../../../bench/lib/flops.ts";
import { featuresOutput, imagesInput } from "../../../src/encoder/batched-features.ts";
import { createEncoder } from "../../../src/encoder/encoder.ts";
import type { Pool } from "../../../src/encoder/encoder-model.ts";
import { loadTransformerFolder } from "../../../src/encoder/vit/load-vit.ts";
import type { TransformerOptions } from "../../../src/encoder/vit/transformer-model.ts";
import { openSafetensors } from "../../../src/files/safetensors.ts";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";
import { relativeError } from "../../support/check-rule.ts";

const folder = fileURLToPath(new URL("../../fixtures/encoders", import.meta.url));

interface Meta {
  readonly pool: Pool;
  readonly crop: [number, number];
}

// Made by tools/make_encoder_fixtures.py: weights as each family's own library saves them, features and pixel
// gradients that it computes from them in float64.
describe("Vision Transformers built from safetensors agree with their own libraries", () => {
  it.each(readdirSync(folder))("%s", async (name) => {
    const meta = JSON.parse(await readFile(join(folder, name, "meta.json"), "utf8")) as Meta;
    const fixture = await openSafetensors(join(folder, name, "fixture.safetensors"));
    const [input, features, cotangent, gradient] = await Promise.all(
      ["input", "features", "cotangent", "pixel_gradient"].map((tensor) => fixture.float32(tensor)),
    );
    const dims = fixture.tensors.get("input")!.shape;
    await fixture.close();

    const model = await loadTransformerFolder(join(folder, name), {
      pool: meta.pool,
      // The fixture's images are normalized already.
      preprocessing: { crop: meta.crop, resize: null, mean: [0, 0, 0], std: [1, 1, 1] },
    });
    const runtime = nodeRuntime({ threads: 1 });
    const encoder = await createEncoder(runtime, model);
    const plan = await encoder.plan(dims[0]);
    const compiled = await compileDerivative(runtime, plan, "save");
    const feeds = { [imagesInput]: new Tensor("float32", input!, [...dims]) };
    const { value, saved } = await compiled.forward(feeds);
    const pulled = await compiled.pullback(feeds, saved, cotangent!);
    await compiled.release();

    const alone = await encoder.features(input!, dims[0]);
    await encoder.release();
    expect(relativeError(value, features!)).toBeLessThan(1e-5);
    expect(relativeError(alone, features!)).toBeLessThan(1e-5);
    expect(relativeError(pulled[imagesInput], gradient!)).toBeLessThan(1e-4);
  });
});

describe("a graph with all tokens", () => {
  it.each(["dinov2", "dinov3", "timm-vit"])(
    "of %s has the feature's class token among them",
    async (name) => {
      const fixture = await openSafetensors(join(folder, name, "fixture.safetensors"));
      const [input, features] = await Promise.all([fixture.float32("input"), fixture.float32("features")]);
      await fixture.close();
      const model = await loadTransformerFolder(join(folder, name), {
        feature: "last_hidden_state",
        pool: "cls",
        preprocessing: { crop: [32, 32], mean: [0, 0, 0], std: [1, 1, 1] },
      });
      expect(model.graph.outputs.map((output) => output.name)).toEqual(["features", "last_hidden_state"]);
      const encoder = await createEncoder(nodeRuntime({ threads: 1 }), model);
      expect(encoder.feature).toMatchObject({
        tensor: "last_hidden_state",
        pool: expect.stringMatching(/^cls/),
      });
      const value = await encoder.features(input, 2);
      await encoder.release();
      expect(relativeError(value, features)).toBeLessThan(1e-5);
    },
  );

  it("of dinov3 costs no more than its feature, where only the class token is read", async () => {
    const flopsOf = async (options: TransformerOptions) => {
      const model = await loadTransformerFolder(join(folder, "dinov3"), {
        preprocessing: { crop: [32, 32], mean: [0, 0, 0], std: [1, 1, 1] },
        ...options,
      });
      const encoder = await createEncoder(nodeRuntime({ threads: 1 }), model);
      const { plain } = await encoder.plan(2);
      await encoder.release();
      return countFlops(plain, [imagesInput], [featuresOutput]);
    };
    expect(await flopsOf({ feature: "last_hidden_state", pool: "cls" })).toEqual(await flopsOf({}));
  });
});
