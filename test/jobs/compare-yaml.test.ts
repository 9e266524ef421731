import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { UsageError } from "../../src/errors.ts";
import { checkedCompareConfig, readGrid } from "../../src/jobs/compare-config.ts";

/** As the command line reads it. */
const parsed = (text: string, where: string) => checkedCompareConfig(readGrid(text, where), where);

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
    expect(parsed(yaml, "grid.yaml")).toEqual(parsed(json, "grid.json"));
  });

  it("reads the documentation's example", () => {
    const text = readFileSync(new URL("../../docs/evaluation.md", import.meta.url), "utf8");
    const example = /```yaml\n([\s\S]*?)```/.exec(text)![1]!;
    expect(parsed(example, "evaluation.md").methods).toHaveLength(4);
  });

  it("names the file that is neither", () => {
    expect(() => parsed("data: [emoji\nmethods: {", "grid.yaml")).toThrow(
      /grid\.yaml is neither YAML nor JSON/,
    );
  });

  it("names an unknown key", () => {
    expect(() => parsed(`${yaml}\nmethod: clp\n`, "grid.yaml")).toThrow(/method/);
  });

  it("says where a method's settings go that were put beside its preset", () => {
    const grid = (method: string) => () =>
      parsed(`{data: [a], encoders: [e], methods: [${method}]}`, "grid.yaml");
    expect(grid("{preset: clp, steps: 3, foo: 1}")).toThrow(
      /Unrecognized keys: "steps", "foo"\. Under "config" go a method's settings: "steps"\n/,
    );
    expect(grid("{preset: clp, foo: 1}")).toThrow(/Unrecognized key: "foo"\n/);
  });
});

describe("a grid that would not end", () => {
  const grid = { data: ["emoji"], encoders: ["efficientnet-lite0@32"], methods: ["clp"] };

  it("is refused by its number of cells, which the message gives", () => {
    const seeds = Array.from({ length: 10_001 }, (_, i) => i);
    expect(() => checkedCompareConfig({ ...grid, seeds }, "grid.yaml")).toThrow(
      /grid\.yaml has 10001 cells \(1 data × 1 encoders × 1 methods × 1 ipc × 10001 seeds\), more than 10000/,
    );
    expect(checkedCompareConfig({ ...grid, seeds: seeds.slice(1) }, "grid.yaml").seeds).toHaveLength(10_000);
  });

  it("prints none of its own text past what makes text fit for a terminal", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    readGrid('data: !!js/function "\u001b[31m"', "grid.yaml");
    expect(warned).not.toHaveBeenCalled();
    warned.mockRestore();
  });

  it("is refused where lists refer to lists, and where a key is every object's own", () => {
    const laughs = ["a: &a [x,x,x,x,x,x,x,x,x]"];
    for (const [i, name] of [..."bcdefghi"].entries()) {
      const inner = `*${"abcdefgh"[i]}`;
      laughs.push(`${name}: &${name} [${Array(9).fill(inner).join(",")}]`);
    }
    expect(() => readGrid(laughs.join("\n"), "grid.yaml")).toThrow(UsageError);
    const proto = "data: [emoji]\nmethods: [{__proto__: {preset: clp}}]";
    expect(() => readGrid(proto, "grid.yaml")).toThrow(/key "__proto__"/);
  });
});
