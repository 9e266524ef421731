import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { chromiumPath } from "../../bench/lib/chromium.ts";
import { derivativeFixtures } from "../../bench/lib/derivative-fixtures.ts";
import { withoutChromium } from "../../bench/lib/in-chromium.ts";
import { comparePage } from "../support/page-derivatives.ts";

// All models, and WebGPU: `npm run test:browser`.
const names = ["vit", "mobilenet-v3-torchscript13-bn"];

it.skipIf(chromiumPath === undefined)(
  `features and pixel gradients in a page agree with Node's within 1e-4${withoutChromium}`,
  async () => {
    const all = derivativeFixtures(fileURLToPath(new URL("../fixtures/", import.meta.url)));
    const found = await comparePage(
      all.filter(({ name }) => names.includes(name)),
      "wasm",
    );
    expect(found.map(({ name }) => name)).toEqual(names);
    for (const { features, gradient } of found) {
      expect(features).toBeLessThan(1e-4);
      expect(gradient).toBeLessThan(1e-4);
    }
  },
  120_000,
);
