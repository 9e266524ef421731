import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { requireEffect } from "../../src/cli/no-effect.ts";
import { UsageError } from "../../src/errors.ts";

const folderOfWeights = fileURLToPath(new URL("../fixtures/encoders/clip-vit-b-16", import.meta.url));
const embedded = "efficientnet-lite0";

it.each([
  [[embedded], { dtype: "fp16" }, /--dtype fp16 .*efficientnet-lite0.*Leave it out/],
  [[folderOfWeights], { dtype: "fp16" }, /--dtype fp16 .*clip-vit-b-16/],
  [["package.json"], { dtype: "fp16" }, /--dtype/],
  [[embedded], { pool: "cls" }, /--pool cls .*a vector.*Leave it out/],
])("refuses %j with %j", (encoders, options, message) => {
  expect(() => requireEffect(encoders, options)).toThrow(UsageError);
  expect(() => requireEffect(encoders, options)).toThrow(message);
});

it("takes an option that one of the encoders may have a use for", () => {
  requireEffect([embedded], {});
  requireEffect([embedded], { pool: "auto" });
  requireEffect([], { dtype: "fp16", pool: "cls" });
  requireEffect([embedded, "someone/on-the-hub"], { dtype: "fp16", pool: "cls" });
  requireEffect([folderOfWeights], { pool: "mean" });
});

it("takes a default that is given explicitly", () => {
  requireEffect([embedded], { dtype: "fp32", pool: "auto" });
  requireEffect([folderOfWeights], { dtype: "fp32" });
});
