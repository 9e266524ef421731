import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { withResults } from "../bench/pages/results-summary.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const pages = [
  "README.md",
  "models/README.md",
  "tools/README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
  ...readdirSync(root).filter((name) => /^[A-Z]+\.md$/.test(name) && name !== "README.md"),
].filter((path) => path.endsWith(".md"));

/** The anchor that a heading has where pages are shown: lower case, without punctuation, hyphens for spaces. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");

const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));

/** Targets of links and pictures in running text. */
function linksOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
}

describe("links", () => {
  it.each(pages)("of %s lead to files and headings that are there", (page) => {
    const broken = linksOf(read(page))
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [path, anchor] = target.split("#") as [string, string?];
        const file = path === "" ? page : join(dirname(page), path);
        if (!existsSync(join(root, file))) return true;
        return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  it("lead from the README to every page of docs, by way of other pages at most", () => {
    const found = new Set(["README.md"]);
    for (const page of found) {
      for (const target of linksOf(read(page))) {
        const file = join(dirname(page), target.split("#")[0]);
        if (pages.includes(file)) found.add(file);
      }
    }
    expect([...pages].filter((page) => page.startsWith("docs/") && !found.has(page))).toEqual([]);
  });
});

it("the README's results are those of docs/results.md", () => {
  const readme = read("README.md");
  expect(readme).toContain("| emoji, 8 groups | closed form |");
  expect(withResults(readme, read("docs/results.md"))).toBe(readme);
});

it("the README begins with the two commands", () => {
  const [first] = /^```sh\n[\s\S]*?^```/m.exec(read("README.md"))!;
  expect(first).toMatch(/^npm ci && npm run demo .*\nnpm ci && npm test /m);
});
