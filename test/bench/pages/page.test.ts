import { describe, expect, it } from "vitest";
import {
  type Block,
  blockText,
  headText,
  machineOf,
  provenanceText,
  splicedPage,
} from "../../../bench/pages/page.ts";

const block = (title: string, text: string): Block => ({
  title,
  text,
  about: "About it.",
  provenance: "Of a command.",
  pictures: [],
});
const quiet = { command: "npm run bench", date: "2026-01-02", load: 0.25, busyCores: 0.02, cores: 2 };

describe("splicedPage", () => {
  const page = `${headText("A machine, 2 cores.\nNode 20.")}\n${blockText(block("A", "old a"))}\n${blockText(block("C", "old c"))}`;

  it("replaces a section and leaves the others as they are", () => {
    const spliced = splicedPage(page, [block("C", "new c")], ["A", "B", "C"]);
    expect(spliced).toContain("old a");
    expect(spliced).toContain("new c");
    expect(spliced).not.toContain("old c");
  });

  it("puts a new section where the order has it", () => {
    const titles = splicedPage(page, [block("B", "b")], ["A", "B", "C"]).match(/^## .*/gm);
    expect(titles).toEqual(["## A", "## B", "## C"]);
  });

  it("drops what is no section any more", () => {
    expect(splicedPage(page, [], ["C"])).not.toContain("## A");
  });

  it("changes nothing when the same is put in again", () => {
    const once = splicedPage(page, [], ["A", "C"]);
    expect(splicedPage(once, [block("A", "old a")], ["A", "C"])).toBe(once);
  });
});

describe("the page's head", () => {
  it("gives back the machine it was made with", () => {
    expect(machineOf(`${headText("A machine, 2 cores.\nNode 20.")}\n## A\n`)).toBe(
      "A machine, 2 cores. Node 20.",
    );
  });
});

describe("provenanceText", () => {
  it("names command, day and load", () => {
    expect(provenanceText(quiet)).toBe("`npm run bench`, 2026-01-02; load average when it began: 0.3.");
  });

  it("says when other programs were using the machine", () => {
    expect(provenanceText({ ...quiet, busyCores: 1.4 })).toContain("using 1.4 of 2 cores: times are noisy");
  });
});
