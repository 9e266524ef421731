import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { chromiumPath } from "../../bench/lib/chromium.ts";
import { classifyInChromium, withoutChromium } from "../../bench/lib/in-chromium.ts";
import { comparison, type EmojiClassifier, makeEmojiClassifier } from "../support/emoji-classifier.ts";
import { classifyInNode } from "../support/in-node.ts";
import { softwareGpu } from "../support/software-gpu.ts";

// `npm run test:export`: docs/export.md has its numbers. `FIRST=100 PICTURES=100 npm run test:export` is one of five parts.

const first = Number(process.env.FIRST ?? 0);
const count = Number(process.env.PICTURES ?? 500);
/** Software rendering takes half a minute per picture. */
const onWebgpu = Number(process.env.WEBGPU ?? 6);
let folder: string;
let made: EmojiClassifier;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-agreement-"));
  made = await makeEmojiClassifier(folder, count, { first });
}, 3_600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function expectAgreement(where: string, found: Parameters<typeof comparison>[1], pictures = count): void {
  const { agreement, largestDifference, different } = comparison(made.named.slice(0, pictures), found);
  const share = (100 * agreement).toFixed(1);
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
