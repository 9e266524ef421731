import { describe, expect, it } from "vitest";
import { parseEncoderSpec } from "../../src/encoder/spec.ts";
import { UsageError } from "../../src/errors.ts";

describe("parseEncoderSpec", () => {
  it.each([
    ["efficientnet-lite0", { encoder: "efficientnet-lite0" }],
    ["models/a.onnx@128", { encoder: "models/a.onnx", size: 128 }],
    ["a.onnx#last_hidden_state", { encoder: "a.onnx", feature: "last_hidden_state" }],
    ["hub@v2/a.onnx@64#x/y:0", { encoder: "hub@v2/a.onnx", size: 64, feature: "x/y:0" }],
  ])("reads %s", (text, expected) => {
    expect(parseEncoderSpec(text)).toEqual(expected);
  });

  it.each(["", "@64", "a@4"])("refuses %j", (text) => {
    expect(() => parseEncoderSpec(text)).toThrow(UsageError);
  });
});
