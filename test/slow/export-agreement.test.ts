import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { chromiumPath } from "../../bench/lib/chromium.ts";
import { classifyInChromium, withoutChromium } from "../../bench/lib/in-chromium.ts";
import { writeMeasuredPart } from "../../bench/lib/measured-part.ts";
import { comparison, type EmojiClassifier, makeEmojiClassifier } from "../support/emoji-classifier.ts";
import { classifyInNode } from "../support/in-node.ts";
import { softwareGpu } from "../support/software-gpu.ts";

// `RECORD=1 npm run test:export` writes the table of docs/export.md. `FIRST=100 PICTURES=100 npm run test:export` is one of five parts.

const first = Number(process.env.FIRST ?? 0);
const count = Number(process.env.PICTURES ?? 500);
/** Software rendering takes half a minute per picture. */
const onWebgpu = Number(process.env.WEBGPU ?? 6);
const packageFile = "node_modules/@huggingface/transformers/package.json";
const { version: transformers } = JSON.parse(readFileSync(packageFile, "utf8")) as { version: string };

let folder: string;
let made: EmojiClassifier;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-agreement-"));
  made = await makeEmojiClassifier(folder, count, { first });
}, 3_600_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  if (process.env.RECORD !== undefined) record();
});

const rows: string[] = [];

/** Writes what was measured into the document. */
function record(): void {
  const variables = Object.entries({ PICTURES: count, WEBGPU: onWebgpu }).map((entry) => entry.join("="));
  writeMeasuredPart(
    "docs/export.md",
    "test/slow/export-agreement.test.ts",
    `
| where | pictures | same class | largest difference of a probability |
|---|--:|--:|--:|
${rows.join("\n")}

\`RECORD=1 ${variables.join(" ")} npm run test:export\`, ${new Date().toISOString().slice(0, 10)}; transformers.js ${transformers}.
`,
  );
}

function expectAgreement(where: string, found: Parameters<typeof comparison>[1], pictures = count): void {
  const { agreement, largestDifference, different } = comparison(made.named.slice(0, pictures), found);
  const share = (100 * agreement).toFixed(1);
  rows.push(`| ${where} | ${pictures} | ${share} % | ${largestDifference.toFixed(4)} |`);
  console.log(
    `${where}: ${share} % of ${pictures} pictures, probabilities differ by ${largestDifference.toFixed(4)} at most`,
  );
  for (const i of different) {
    const { label, probability } = made.named[i];
    console.log(
      `  ${basename(made.pictures[i])}: ${label} ${probability.toFixed(3)}, there ${found.labels[i]} ${found.scores[i].toFixed(3)}`,
    );
  }
  expect(agreement).toBeGreaterThanOrEqual(0.99);
}

it("transformers.js in Node", async () => {
  expectAgreement("Node", await classifyInNode(made.model, made.pictures));
}, 3_600_000);

it.skipIf(chromiumPath === undefined)(
  `transformers.js in Chromium, WebAssembly${withoutChromium}`,
  async () => {
    const names = made.pictures.map((path) => basename(path));
    expectAgreement("Chromium, WebAssembly", await classifyInChromium(made.model, made.folder, names));
  },
  3_600_000,
);

it.skipIf(chromiumPath === undefined)(
  `transformers.js in Chromium, WebGPU (in software)${withoutChromium}`,
  async () => {
    const names = made.pictures.slice(0, onWebgpu).map((path) => basename(path));
    const options = { device: "webgpu", args: softwareGpu } as const;
    const found = await classifyInChromium(made.model, made.folder, names, options);
    expectAgreement("Chromium, WebGPU", found, onWebgpu);
  },
  3_600_000,
);
