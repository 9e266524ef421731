import { describe, expect, it } from "vitest";
import { readTransformerConfig } from "../../../src/encoder/vit/vit-config.ts";
import { ModelError } from "../../../src/errors.ts";

const read = (modelArgs: object, pretrained: object = {}) =>
  readTransformerConfig(
    JSON.stringify({
      architecture: "vit_base_patch16_224",
      model_args: modelArgs,
      pretrained_cfg: pretrained,
    }),
    "config.json",
    () => false,
  );

describe("arguments of timm's constructor", () => {
  it.each<object>([
    { qk_norm: true },
    { final_norm: false },
    { proj_bias: false },
    { pos_embed: "none" },
    { norm_layer: "rmsnorm" },
    { in_chans: 1 },
    { constructor: 1 },
    { some_new_switch: true },
  ])("are refused by name where they are not built: %j", (given) => {
    const [name] = Object.keys(given);
    expect(() => read(given)).toThrow(ModelError);
    expect(() => read(given)).toThrow(`model_args.${name}`);
  });

  it("are passed over where they change no feature", () => {
    const idle = {
      num_classes: 5,
      drop_path_rate: 0.1,
      weight_init: "jax",
      qk_norm: false,
      norm_layer: null,
    };
    expect(read(idle)).toEqual(read({}));
  });

  it("size the images as timm does: input_size, unless the model takes one size alone", () => {
    const sizes = (fixed: boolean) =>
      read({ img_size: 64 }, { input_size: [3, 32, 32], fixed_input_size: fixed }).preprocessing.crop;
    expect(sizes(true)).toEqual([64, 64]);
    expect(sizes(false)).toEqual([32, 32]);
  });
});
