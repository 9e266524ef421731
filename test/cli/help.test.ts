import { describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

const timeout = 60_000;
const helpOf = async (...command: string[]) => (await clpdd([...command, "--help"])).stdout;

it.each([
  ["demo", /distilled \(default: 128\) --resize <px> .* \(default: --size\)/],
  ["evaluate", /--encoder .* \(default: each set's own\)/],
  ["profile", /model a name .*, owner\/name of the hub, a folder or an \.onnx file/],
  ["distill", /Objective: .* Images: .* Optimization: .* Augmentation: .* Encoder: .* Running: .* Output: /],
  ["baseline", /--seed <n> seed of random and kmeans \(default: 0\)/],
])("the help of %s says what holds for it", { timeout }, async (command, expected) => {
  expect((await helpOf(command)).replace(/\s+/g, " ")).toMatch(expected);
});

it.each([
  "demo",
  "app",
  "distill",
  "baseline",
  "evaluate",
  "compare",
  "features",
  "datasets",
  "encoders",
  "inspect",
  "profile",
])("the help of %s fits in 80 columns", { timeout }, async (command) => {
  const text = await helpOf(command);
  expect(text).toMatch(/^Usage: clp-dd /);
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});

it("the help of datasets is filled to the width", { timeout }, async () => {
  expect(await helpOf("datasets")).toContain("how its files must be laid out.");
});

describe("wrong usage", () => {
  it.each([
    [["distill", "photos", "--stpes", "3"], /unknown option '--stpes'\n\(Did you mean --steps\?\)/],
    [["evaluate", "set", "--proves", "head"], /unknown option '--proves'\n\(Did you mean --probes\?\)/],
    [["distill", "photos", "--bogus"], /unknown option '--bogus'/],
    [["evaluate", "set", "--dta", "photos"], /unknown option '--dta'\n\(Did you mean --data\?\)/],
    [["distill", "photos"], /required option '--out <folder>' not specified/],
    [["evaluate", "set"], /required option '--data <dir>' not specified/],
    [["distil", "photos"], /unknown command 'distil'\n\(Did you mean distill\?\)/],
  ])("%j is reported by its first cause", { timeout }, async (args, message) => {
    const { code, stderr } = await clpdd(args);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
