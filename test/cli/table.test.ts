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
  expect(formatTable(["name"], [["a\u001b[31mb\nc"]])).toBe(`name\n${"─".repeat(12)}\na\\x1b[31mb c`);
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

const spread = "64.3 ± 10.6";

test("heads wrap before figures do, and a head that is wrapped stands on the line under it", () => {
  const table = formatTable(
    ["method", "images a class", "tuned head"],
    [
      ["neighbors", "1", spread],
      ["centroid", "10", "7.5"],
    ],
    { width: 32 },
  );
  expect(table.split("\n")).toEqual([
    "           images a",
    "method        class   tuned head",
    "─────────  ────────  ───────────",
    `neighbors         1  ${spread}`,
    "centroid         10          7.5",
  ]);
});

test("columns that do not fit go into a table below, with the columns that tell the rows apart", () => {
  const probes = ["closed form", "LGM head", "closed form +aug", "LGM head +aug"];
  const row = (method: string, ipc: string) => [method, ipc, ...probes.map(() => spread)];
  const rows = [row("clp", "1"), row("clp", "10"), row("random", "1"), row("random", "10")];
  const tables = (width: number) =>
    formatTable(["method", "ipc", ...probes], rows, { width, section: (title) => title.includes("+aug") })
      .split("\n\n")
      .map((table) => table.split("\n"));
  // Three probes would fit into the first; those on augmented images stay together.
  const [first, second, ...others] = tables(52);
  expect(others).toEqual([]);
  expect(first!.slice(0, 3)).toEqual([
    "method  ipc  closed form     LGM head",
    "──────  ───  ───────────  ───────────",
    `clp       1  ${spread}  ${spread}`,
  ]);
  expect(second!.at(-1)).toBe(`random   10       ${spread}    ${spread}`);
  expect(second![0]).toBe("method  ipc  closed form +aug  LGM head +aug");
  expect(tables(26)).toHaveLength(4);
  expect(tables(80)).toHaveLength(1);
});

test("words are not broken, but for those that are long", () => {
  const broken = "a".repeat(40);
  const lines = formatTable(["name", "probe"], [[`neighbors of ${broken}`, "closed form"]], {
    width: 34,
  }).split("\n");
  for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(34);
  const words = lines.slice(2).flatMap((line) => line.trim().split(/ +/));
  expect(words).toEqual(expect.arrayContaining(["neighbors", "of", "closed", "form"]));
  expect(words.filter((word) => /^a+$/.test(word)).join("")).toBe(broken);
});
