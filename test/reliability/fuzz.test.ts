import { afterAll, describe, expect, it } from "vitest";
import { corpusOf, inputOf, removeInputFolder, tried } from "./fuzz-input.ts";
import { targets } from "./targets.ts";

/** Inputs of each parser; `npm run fuzz` reads as many as there is time for, in processes that are watched. */
const inputs = 60;

afterAll(removeInputFolder);

describe("changed inputs are refused by an error that says what is wrong, or read", () => {
  it.each(Object.keys(targets))("%s", async (target) => {
    const outcomes = new Map<string, number>();
    for (let number = 0; number < (target === "onnx" ? 20 : inputs); number++) {
      const { kind, why } = await tried(target, await inputOf(target, 1, number));
      expect(why, `input ${number}`).toBeUndefined();
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
    }
    // A target that refuses nothing reads nothing.
    expect(outcomes.get("refused") ?? 0).toBeGreaterThan(0);
  });
});

describe("good inputs are read, so that changed ones reach the parser", () => {
  it.each(Object.keys(targets))("%s", async (target) => {
    const outcomes = new Set<string>();
    for (const bytes of (await corpusOf(target)).slice(0, 10))
      outcomes.add((await tried(target, { bytes, base: bytes })).kind);
    expect(outcomes).toContain("accepted");
  });
});
