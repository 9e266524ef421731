import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Tensor } from "onnxruntime-common";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { imagesInput } from "../../../src/encoder/batched-features.ts";
import { createEncoder } from "../../../src/encoder/encoder.ts";
import { loadEncoderModel } from "../../../src/encoder/load/load.ts";
import { preprocess } from "../../../src/images/preprocess.ts";
import { compileDerivative } from "../../../src/onnx-vjp/compile/differentiable.ts";
import { nodeRuntime } from "../../../src/onnx-vjp/runtime/node.ts";

const folder = fileURLToPath(new URL("../../fixtures/cases", import.meta.url));
interface Expected {
  readonly pixels: readonly [number, number, number, number];
  readonly features: readonly number[];
}

/** An encoder's folder, and its image made ready as the folder says. */
async function opened(name: string) {
  const model = await loadEncoderModel(join(folder, name, "model.onnx"));
  const runtime = nodeRuntime({ threads: 1 });
  const encoder = await createEncoder(runtime, model);
  const { data, info } = await sharp(join(folder, name, "image.png"))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const image = { width: info.width, height: info.height, data: new Uint8Array(data) };
  return { runtime, encoder, pixels: preprocess(image, encoder.preprocessing) };
}

// Features of image.png in float64, made ready by transformers' own class of the name in the folder.
describe("an image made ready as its encoder's folder says", () => {
  it.each(["preprocess-mobilevit", "preprocess-levit", "preprocess-efficientnet"])(
    "has the features of the reference: %s",
    async (name) => {
      const expected = JSON.parse(await readFile(join(folder, name, "expected.json"), "utf8")) as Expected;
      const { encoder, pixels } = await opened(name);
      expect(encoder.preprocessing.crop).toEqual(expected.pixels.slice(2));
      const features = await encoder.features(pixels, 1);
      await encoder.release();
      const size = Math.hypot(...expected.features);
      const error = Math.hypot(...expected.features.map((want, i) => want - features[i]!));
      // Pillow rounds to 8 bits between and after its passes.
      expect(error / size).toBeLessThan(2e-2);
    },
  );

  it("has its gradient in red, green, blue where the model takes them the other way round", async () => {
    const { runtime, encoder, pixels } = await opened("preprocess-mobilevit");
    const images = Float32Array.from(pixels, (byte) => byte / 255);
    const [height, width] = encoder.preprocessing.crop;
    const compiled = await compileDerivative(runtime, await encoder.plan(1), "save");
    const feeds = { [imagesInput]: new Tensor("float32", images, [1, 3, height, width]) };
    const { value, saved } = await compiled.forward(feeds);
    const cotangent = Float32Array.from({ length: encoder.featureSize }, (_, i) => Math.cos(i));
    const { [imagesInput]: gradient } = await compiled.pullback(feeds, saved, cotangent);
    await compiled.release();
    const dot = (features: Float32Array) => features.reduce((sum, f, i) => sum + f * cotangent[i]!, 0);
    // One channel at a time, by a step that is small against what the network bends over.
    for (let channel = 0; channel < 3; channel++) {
      const from = channel * height * width;
      const step = 1e-3;
      const moved = images.slice();
      for (let i = from; i < from + height * width; i++) moved[i]! += step;
      const slope = (dot(await encoder.features(moved, 1)) - dot(value)) / step;
      const expected = gradient!.subarray(from, from + height * width).reduce((sum, g) => sum + g, 0);
      expect(Math.abs(slope - expected)).toBeLessThan(0.03 * Math.abs(expected) + 0.05);
    }
    await encoder.release();
  });
});
