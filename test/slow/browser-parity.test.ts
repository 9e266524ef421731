import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { chromiumPath } from "../../bench/lib/chromium.ts";
import { derivativeFixtures } from "../../bench/lib/derivative-fixtures.ts";
import { withoutChromium } from "../../bench/lib/in-chromium.ts";
import { comparePage } from "../support/page-derivatives.ts";
import { softwareGpu } from "../support/software-gpu.ts";

// `npm run test:browser`; ONLY names a part of the fixtures.

const wanted = process.env.ONLY ?? "";
const fixtures = derivativeFixtures(fileURLToPath(new URL("../fixtures/", import.meta.url))).filter(
  ({ name }) => name.includes(wanted),
);

describe.skipIf(chromiumPath === undefined)(
  `features and pixel gradients in a page${withoutChromium}`,
  () => {
    for (const device of ["wasm", "webgpu"] as const) {
      it(`agree with Node's within 1e-4 of ${fixtures.length} committed models on ${device}`, async () => {
        const found = await comparePage(fixtures, device, device === "webgpu" ? softwareGpu : []);
        const most = (key: "features" | "gradient") => Math.max(...found.map((each) => each[key]));
        console.log(
          `${device}: ${found.length} models, features differ by ${most("features").toExponential(1)} at most, ` +
            `gradients by ${most("gradient").toExponential(1)}`,
        );
        expect(found.filter(({ features, gradient }) => !(features < 1e-4 && gradient < 1e-4))).toEqual([]);
      }, 3_600_000);
    }
  },
);
