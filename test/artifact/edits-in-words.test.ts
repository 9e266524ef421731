import { expect, test } from "vitest";
import { editsInWords } from "../../src/artifact/edits-in-words.ts";

const edits = (top1: Record<string, number>) => ({
  each: Object.entries(top1).map(([name, value]) => ({ name, top1: value })),
  mean: 0,
  worst: 0,
});

test("says which edits the images bear, which cost something, and which they do not bear", () => {
  // Of 0.8, 5 % is 0.04 and 20 % is 0.16.
  expect(editsInWords(0.8, edits({ PNG: 0.81, JPEG: 0.77, shifted: 0.7, noise: 0.5, half: 0.1 }))).toBe(
    "The images keep their worth (at most 5 % of it lost) through: PNG, JPEG; they lose some by: shifted; they do not " +
      "bear (over 20 % lost): noise, half.",
  );
});

test("leaves out what there is none of", () => {
  expect(editsInWords(0.5, edits({ PNG: 0.5 }))).toBe(
    "The images keep their worth (at most 5 % of it lost) through: PNG.",
  );
});
