import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import wabt from "wabt";
import { binary } from "../../src/images/resample-kernel.ts";

it("the resampling kernel in the source is what its text form assembles to", async () => {
  const name = "resample-kernel.wat";
  const source = readFileSync(new URL(`../../src/images/${name}`, import.meta.url), "utf8");
  const module = (await wabt()).parseWat(name, source, { simd: true });
  const { buffer } = module.toBinary({});
  module.destroy();
  expect(binary).toBe(Buffer.from(buffer).toString("base64"));
});
