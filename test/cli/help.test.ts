import { expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

it.each([
  ["demo", /distilled \(default: 128\) --resize <px> .* \(default: --size\)/],
  ["evaluate", /--encoder .* \(default: each set's own\)/],
  ["profile", /model a name .*, owner\/name of the hub, a folder or an \.onnx file/],
])("the help of %s says what holds for it", { timeout: 30_000 }, async (command, expected) => {
  const { stdout } = await clpdd([command, "--help"]);
  expect(stdout.replace(/\s+/g, " ")).toMatch(expected);
});

it("the help of datasets is filled to the width", { timeout: 30_000 }, async () => {
  expect((await clpdd(["datasets", "--help"])).stdout).toContain("With a name: how its files must lie.");
});
