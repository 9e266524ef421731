import { describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

describe("clp-dd profile", () => {
  it("shows the dearest operators and nodes in 80 columns and ends with JSON", async () => {
    const { code, stdout, stderr } = await clpdd(
      "profile efficientnet-lite0 --size 32 --images 2 --steps 1 --threads 1 --top 3 --quiet --json".split(
        " ",
      ),
    );
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    const json = JSON.parse(lines.pop()!);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines.some((line) => /^rendering +[\d.]+ +[\d.]+ %$/.test(line))).toBe(true);
    expect(lines.some((line) => /^Conv +\d+ +\d+ +[\d.]+ +[\d.]+ %$/.test(line))).toBe(true);
    expect(lines[1]).toContain("1 thread, mean of 1 step, ");
    expect(json.ops).toHaveLength(3);
    expect(json.nodes).toHaveLength(3);
    expect(json.stepMs).toBeGreaterThan(json.encoderMs);
  });

  it("refuses half precision without a GPU", async () => {
    const { code, stderr } = await clpdd([
      "profile",
      "efficientnet-lite0",
      "--precision",
      "float16",
      "--quiet",
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain("--precision float16 was given without a GPU");
    expect(stderr).toContain("--device cuda");
  });

  it("says what is wrong with a model that is not there", async () => {
    const { code, stderr } = await clpdd(["profile", "no-such-encoder", "--quiet"]);
    expect(code).toBe(1);
    expect(stderr).toContain('no encoder "no-such-encoder"');
  });
});
