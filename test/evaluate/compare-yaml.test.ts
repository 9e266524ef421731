import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseCompareConfig } from "../../src/evaluate/compare-config.ts";

const yaml = `
# One data set, two methods.
data: [emoji]
encoders: [efficientnet-lite0@64]
ipc: [1, 2]
seeds: [0, 1]
methods:
  - random
  - preset: clp
    config:
      steps: 20
      normalize: [center-l2]
`;

describe("a grid's configuration", () => {
  it("reads YAML as it reads the same in JSON", () => {
    const json = JSON.stringify({
      data: ["emoji"],
      encoders: ["efficientnet-lite0@64"],
      ipc: [1, 2],
      seeds: [0, 1],
      methods: ["random", { preset: "clp", config: { steps: 20, normalize: ["center-l2"] } }],
    });
    expect(parseCompareConfig(yaml, "grid.yaml")).toEqual(parseCompareConfig(json, "grid.json"));
  });

  it("reads the documentation's example", () => {
    const text = readFileSync(new URL("../../docs/evaluation.md", import.meta.url), "utf8");
    const example = /```yaml\n([\s\S]*?)```/.exec(text)![1]!;
    expect(parseCompareConfig(example, "evaluation.md").methods).toHaveLength(4);
  });

  it("names the file that is neither", () => {
    expect(() => parseCompareConfig("data: [emoji\nmethods: {", "grid.yaml")).toThrow(
      /grid\.yaml is neither YAML nor JSON/,
    );
  });

  it("names an unknown key", () => {
    expect(() => parseCompareConfig(`${yaml}\nmethod: clp\n`, "grid.yaml")).toThrow(/method/);
  });
});
