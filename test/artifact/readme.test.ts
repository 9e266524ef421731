import { expect, test } from "vitest";
import type { Manifest } from "../../src/artifact/manifest.ts";
import { dataSetCard } from "../../src/artifact/pages/readme.ts";
import { sampleManifest } from "../support/artifact-content.ts";

const whole = (changes: Partial<Manifest> = {}): Manifest => ({
  ...sampleManifest(),
  folders: ["cat", "dog", "owl"],
  files: {},
  ...changes,
});
const licenses = (...spdx: string[]): Manifest => {
  const { data } = whole();
  const listed = spdx.map((id) => ({ name: id, author: "x", spdx: id, url: "https://example.org" }));
  return whole({ data: { ...data, licenses: listed } });
};
/** The list under `license:` in the front matter. */
const licenseOf = (card: string) =>
  /^---\nlicense:\n((?: {2}- .*\n)+)/
    .exec(card)![1]!
    .trim()
    .split("\n")
    .map((line) => line.trim().slice(2));

test("a share-alike license among the sources is the set's own; else all are listed", () => {
  expect(licenseOf(dataSetCard(licenses("MIT", "CC-BY-SA-4.0", "Apache-2.0")))).toEqual(["cc-by-sa-4.0"]);
  expect(licenseOf(dataSetCard(licenses("MIT", "CC-BY-4.0", "MIT")))).toEqual(["mit", "cc-by-4.0"]);
  expect(licenseOf(dataSetCard(licenses()))).toEqual(["unknown"]);
  expect(dataSetCard(licenses())).toContain("their license is not known to clp-dd");
});

test("the card has the numbers with their protocol, the use, the preprocessing and the sources", () => {
  const card = dataSetCard(whole());
  for (const part of [
    "# pets: 6 synthetic images",
    "| distilled | closed form | 6 | 50.0 % |",
    "| random images | closed form | 6 | 25.0 ± 1.3 % |",
    "share of 300 real test images",
    "mean ± standard deviation over 5 seeds",
    "λ = 0.1 · tr(K)/m on features after `standardize-l2`",
    "statistics of the real training features",
    'datasets.ImageFolder("images", transform=unchanged)',
    "transforms.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])",
    "| nothing: the exact pixels of `distilled.safetensors` | 50.0 % |",
    "| JPEG 90 | 49.0 % |",
    "| worst edit | 25.0 % |",
    "keep their worth (at most 5 % of it lost) through: JPEG 90; they do not bear (over 20 % lost): mirrored",
    'import { loadEncoder, readArtifact } from "clp-dd"',
    "shorter edge to 10 px, bicubic; center crop 8 × 8",
    "- Images: Pet photos by A. Nother, CC-BY-SA-4.0, https://example.org/pets",
    "sha256 `".concat("ab".repeat(32)),
    "2 files were passed over.",
    "The probe on them classifies 50.0 %; after each\nof 2 edits 37.0 % on average, after the worst (mirrored) 25.0 %",
  ]) {
    expect(card).toContain(part);
  }
});

test("names from elsewhere break neither the table nor the front matter", () => {
  const { data, metrics } = whole();
  const card = dataSetCard(
    whole({
      data: { ...data, name: 'a "b"\n---\n# c: [x](y)' },
      metrics: { rows: [{ name: "a|b\n<c>", protocol: "p", images: 1, top1: 1 }] },
    }),
  );
  expect(card.match(/^---$/gm)).toHaveLength(2);
  expect(card).toContain('pretty_name: "a \\"b\\"\\n---\\n# c: [x](y), distilled"');
  expect(card).toContain("| a\\|b &lt;c&gt; | p | 1 | 100.0 % |");
  expect(metrics.rows).toHaveLength(4);
});

test("without test images nothing is said to be measured", () => {
  const card = dataSetCard(whole({ metrics: { rows: [] } }));
  expect(card).toContain("Nothing was measured");
  expect(card).not.toContain("| trained on |");
});

test("without measured edits, the card says so where it offers an image folder", () => {
  const { edits: _, ...metrics } = whole().metrics;
  const card = dataSetCard(whole({ metrics }));
  expect(card).toMatch(
    /after handling \([^)]*\) was not measured\. Use them as they are\.\n\nIn Python, as an image folder/,
  );
});
