import { basename } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { chromiumPath } from "../../bench/lib/chromium.ts";
import { classifyInChromium, withoutChromium } from "../../bench/lib/in-chromium.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { comparison, type EmojiClassifier, makeEmojiClassifier } from "../support/emoji-classifier.ts";
import { classifyInNode } from "../support/in-node.ts";

let data: DataFolder;
let made: EmojiClassifier;
// The 500 pictures of all sizes are in test/slow (`npm run test:export`).
beforeAll(async () => {
  data = await dataFolder();
  made = await makeEmojiClassifier(data.path, 30, { usual: 1000 });
}, 240_000);
afterAll(() => data.remove());

function expectAgreement(found: Parameters<typeof comparison>[1]): void {
  const { agreement, largestDifference, different } = comparison(made.named, found);
  const shown = different.map(
    (i) => `${basename(made.pictures[i])}: ${made.named[i].label}, ${found.labels[i]}`,
  );
  expect(agreement, shown.join("; ")).toBeGreaterThanOrEqual(0.99);
  expect(largestDifference).toBeLessThan(0.05);
}

it("transformers.js in Node names the classes that classify names, for pictures of 64 to 4,000 px", async () => {
  expectAgreement(await classifyInNode(made.model, made.pictures));
}, 240_000);

it.skipIf(chromiumPath === undefined)(
  `transformers.js in Chromium names the classes that classify names${withoutChromium}`,
  async () => {
    const names = made.pictures.map((path) => basename(path));
    expectAgreement(await classifyInChromium(made.model, made.folder, names));
  },
  240_000,
);
