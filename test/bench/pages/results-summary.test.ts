import { expect, it } from "vitest";
import { resultsSummary, withResults } from "../../../bench/pages/results-summary.ts";

const page = `# Results

## Emoji, 8 Unicode groups
About it.

| method | images a class | closed form | tuned head |
|---|---|---|---|
| clp | 1 | 64.1 ± 0.6 | 61.5 |
| clp, λ 3 | 1 | 1.0 | 2.0 |
| clp | 10 | 70.0 | 71.0 |
| full | all | 72.2 | 69.3 |

| method | images a class | closed form | tuned head |
|---|---|---|---|
| clp | 1 | 89 % | 88 % |

## Emoji, 56 Unicode subgroups

| method | images a class | closed form | tuned head |
|---|---|---|---|
| clp | 1 | 44.3 | 42.0 |
| clp, 500 steps (the default) | 1 | 48.3 | 46.3 |
| clp-long, 1,500 steps | 1 | 51.5 | 46.5 |
`;

it("has a row for each data set and probe, of sets with one image per class, and marks what is missing", () => {
  const lines = resultsSummary(page, ["closed form", "tuned head"]).split("\n");
  expect(lines).toHaveLength(6);
  expect(lines[0]).toMatch(/^\| data \| probe \| all real images \| clp \| clp-long \|/);
  expect(lines[2]).toMatch(/^\| emoji, 8 groups \| closed form \| 72\.2 \| \*\*64\.1 ± 0\.6\*\* \| – \|/);
  expect(lines[3]).toMatch(/\| tuned head \| 69\.3 \| \*\*61\.5\*\* \| – \|/);
});

it("compares what ran under the same steps, and adds the default's own where it differs", () => {
  const lines = resultsSummary(page, ["closed form"]).split("\n");
  expect(lines[3]).toContain("| emoji, 56 subgroups | closed form | – | **44.3** (500 steps: 48.3) | 51.5 |");
});

it("is written between its marks in the README, and nowhere else", () => {
  const readme = "before\n<!-- results -->\nold\n<!-- /results -->\nafter\n";
  const written = withResults(readme, page);
  expect(written).toMatch(/^before\n<!-- results -->\n\| data [\s\S]*\|\n<!-- \/results -->\nafter\n$/);
  expect(written).not.toContain("old");
});
