import { describe, expect, it } from "vitest";
import { inFlags } from "../../src/cli/flags.ts";

describe("a message of the library in the words of the command line", () => {
  it.each([
    ["Give another `size`.", "Give another --size."],
    ["Lower `learningRate`, or `memoryBytes`.", "Lower --lr, or --memory."],
    ["Give `size: 64`.", "Give --size 64."],
    ["Or `resize: 64`.", "Or --resize 64."],
    ["Resume it with `resume: true`.", "Resume it with --resume."],
    ["Name a GPU with `device: 'cuda'`.", "Name a GPU with --device cuda."],
    ["Or `augmentation: 'off'`.", "Or --no-augmentation."],
    ['Choose `feature: "a name"`.', "Choose --feature 'a name'."],
    ['Choose `feature: "it\'s"`.', "Choose --feature 'it'\\''s'."],
    ["See `hub.cacheDir`.", "See --hub-cache."],
  ])("%s becomes %s", (message, expected) => expect(inFlags(message)).toBe(expected));

  it("leaves commands and other words in backquotes", () => {
    const message = "`clp-dd inspect` lists them; features after `standardize-l2`, `constructor`.";
    expect(inFlags(message)).toBe(message);
  });
});
