import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { parseConfig } from "../../src/jobs/distill.ts";
import { presetNames, withPreset } from "../../src/recipe/presets.ts";

describe("parseConfig", () => {
  it.each(presetNames)("takes the preset %s", (name) => {
    expect(parseConfig(withPreset(name, {}))).toMatchObject(withPreset(name, {}));
  });

  it.each([
    ["clp", { learnLabels: true, learnTemperature: true }],
    ["clp-mse", { learnLabels: true }],
    ["lgm", { learnLabels: true }],
  ] as const)("lets %s learn what it has gradients for", (method, learned) => {
    expect(parseConfig({ method, ...learned })).toMatchObject(learned);
  });

  it.each([
    ["sfm", { learnLabels: true }, /"learnLabels" .* sfm.* labels\. .* clp, clp-mse, lgm\.$/],
    ["sfm", { learnTemperature: true }, /"learnTemperature" .* sfm.* temperature\. .*: clp\.$/],
    ["lgm", { learnTemperature: true }, /"learnTemperature" .* lgm/],
    ["clp-mse", { learnTemperature: true }, /"learnTemperature" .* clp-mse/],
  ] as const)("refuses %s with %j, which would do nothing", (method, learned, message) => {
    expect(() => parseConfig({ method, ...learned })).toThrow(UsageError);
    expect(() => parseConfig({ method, ...learned })).toThrow(message);
  });
});
