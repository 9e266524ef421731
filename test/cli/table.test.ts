import fc from "fast-check";
import { expect, test } from "vitest";
import { formatTable } from "../../src/cli/table.ts";
import { displayWidth, truncate, wrapText } from "../../src/cli/width.ts";

test("numbers are aligned right, with or without unit and deviation, and names left", () => {
  const table = formatTable(
    ["method", "images", "top-1"],
    [
      ["full data", "5,214", "54.2 %"],
      ["random", "8", "20.1 ± 1.3 %"],
      ["none", "", "–"],
    ],
  );
  expect(table.split("\n")).toEqual([
    "method     images         top-1",
    "─────────  ──────  ────────────",
    "full data   5,214        54.2 %",
    "random          8  20.1 ± 1.3 %",
    "none                          –",
  ]);
});

test("a stated alignment is kept", () => {
  expect(formatTable(["n", "name"], [["1", "a"]], { align: ["left", "right"] })).toBe(
    "n  name\n─  ────\n1     a",
  );
});

test("wide, combining and joined characters count for the columns they take", () => {
  expect(displayWidth("文字")).toBe(4);
  expect(displayWidth("e\u0301")).toBe(1);
  expect(displayWidth("👩‍👩‍👧")).toBe(2);
  expect(displayWidth("½ – λ")).toBe(5);
  const lines = formatTable(
    ["class", "n"],
    [
      ["文字", "1"],
      ["abcd", "2"],
    ],
  ).split("\n");
  expect(lines.slice(2)).toEqual(["文字   1", "abcd   2"]);
});

test("control characters of file names do not reach the terminal", () => {
  expect(formatTable(["name"], [["a\u001b[31mb\nc"]])).toBe(`name\n${"─".repeat(9)}\na [31mb c`);
});

test("no line is wider than the terminal, and no character of a cell is lost", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "7", "/", " ", "文"), maxLength: 90 });
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 4 }), (rows) => {
      const lines = formatTable(["left", "other"], rows, { align: ["left", "left"], width: 60 }).split("\n");
      for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(60);
      const letters = (text: string) => [...text.replace(/[ \n─]/g, "")].sort().join("");
      expect(letters(lines.slice(2).join(""))).toBe(letters(rows.flat().join("")));
    }),
  );
});

test("text is wrapped after spaces and slashes, else anywhere", () => {
  expect(wrapText("one two three", 8)).toEqual(["one two", "three"]);
  expect(wrapText("cache/features/x", 10)).toEqual(["cache/", "features/x"]);
  expect(wrapText("abcdefgh", 3)).toEqual(["abc", "def", "gh"]);
  expect(wrapText("", 3)).toEqual([""]);
});

test("truncation leaves room for its ellipsis", () => {
  expect(truncate("abcdef", 6)).toBe("abcdef");
  expect(truncate("abcdef", 4)).toBe("abc…");
  expect(truncate("文字文字", 4)).toBe("文…");
});
