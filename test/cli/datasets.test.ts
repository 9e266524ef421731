import { describe, expect, it } from "vitest";
import { displayWidth } from "../../src/cli/width.ts";
import { dataSets } from "../../src/data/sets/catalogue.ts";
import { clpdd } from "../support/command.ts";

describe("clp-dd datasets", () => {
  it("lists every known data set in 80 columns, and as JSON", async () => {
    const { code, stdout } = await clpdd(["datasets", "--json"]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    const json = JSON.parse(lines.pop()!);
    expect(json.map(({ name }: { name: string }) => name)).toEqual(dataSets.map(({ name }) => name));
    for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
    for (const { name, page } of dataSets) {
      expect(stdout).toContain(`\n${name} `);
      expect(stdout).toContain(page);
    }
  });

  it("prints how one of them must lie", async () => {
    const { stdout } = await clpdd(["datasets", "cub-200"]);
    expect(stdout).toContain("cub-200:PATH");
    expect(stdout).toContain("train_test_split.txt");
  });

  it("names the known ones when asked for another", async () => {
    const { code, stderr } = await clpdd(["datasets", "cub"]);
    expect(code).toBe(2);
    expect(stderr).toContain("cub-200");
  });
});
