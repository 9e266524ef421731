import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readPreprocessorConfig } from "../../../src/encoder/load/preprocessor-config.ts";
import { readTransformerConfig } from "../../../src/encoder/vit/vit-config.ts";
import { ModelError } from "../../../src/errors.ts";
import { Preprocessing } from "../../../src/images/preprocess.ts";

const text = (name: string) =>
  readFileSync(new URL(`../../fixtures/faults/config/${name}.json`, import.meta.url), "utf8");

describe("a configuration with a number that no model has", () => {
  it.each([
    ["heads", /num_attention_heads is 0\.5 /],
    ["hidden", /hidden_size is 2147483648 /],
    ["image", /image_size is 2147483648 /],
    ["layers", /num_hidden_layers is 2147483647 /],
  ])("is refused before room is made for it, and named: %s", (name, message) => {
    const reading = () => readTransformerConfig(text(name), "config.json", () => true);
    expect(reading).toThrow(ModelError);
    expect(reading).toThrow(message);
  });

  it("is refused for a crop of 2³¹ pixels", () => {
    const fallback = Preprocessing.parse({
      resize: 8,
      crop: [8, 8],
      mean: [0, 0, 0],
      std: [1, 1, 1],
    });
    expect(() => readPreprocessorConfig(text("crop.preprocessor"), fallback, "p.json")).toThrow(
      /p\.json.*16384/,
    );
  });

  it("is refused for more patches than positions can be made of", () => {
    const huge = {
      ...(JSON.parse(text("layers")) as object),
      num_hidden_layers: 2,
      image_size: 16_384,
      patch_size: 1,
    };
    expect(() => readTransformerConfig(JSON.stringify(huge), "config.json", () => true)).toThrow(
      /268435456 patches/,
    );
  });
});
