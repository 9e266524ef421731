import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { baseline, classify, exportClassifier } from "../../src/index.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { chromiumPath, classifyInChromium, withoutChromium } from "../support/in-chromium.ts";
import { classifyInNode } from "../support/in-node.ts";
import { makeEmojiFolder, makePictures } from "../support/pictures.ts";

let data: DataFolder;
let model: string;
let pictures: string[];
let own: { label: string; probability: number }[];

beforeAll(async () => {
  data = await dataFolder();
  const train = await makeEmojiFolder(join(data.path, "emoji"), 6);
  const set = join(data.path, "set");
  const common = {
    cacheFolder: join(data.path, "cache"),
    size: 128,
    resize: 144,
    baselines: false,
    edits: false,
  };
  await baseline({ kind: "full", data: train, out: set, ...common });
  model = join(data.path, "model");
  await exportClassifier(set, { out: model });
  pictures = await makePictures(join(data.path, "pictures"), 30, 1200);
  own = (await classify(set, pictures)).map((found) => {
    if ("unreadable" in found) throw new Error(found.unreadable);
    return { label: found.class, probability: found.probability! };
  });
}, 240_000);
afterAll(() => data.remove());

/** Shares of 30 pictures are coarse: one that is not the same is 3 %. */
function expectAgreement(labels: readonly string[], scores: readonly number[]): void {
  const different = own.flatMap(({ label }, i) =>
    label === labels[i] ? [] : [`${basename(pictures[i])}: ${label}, ${labels[i]}`],
  );
  expect(different.length / own.length, different.join("; ")).toBeLessThanOrEqual(0.01);
  for (const [i, { probability }] of own.entries())
    expect(Math.abs(scores[i] - probability)).toBeLessThan(0.05);
}

it("transformers.js in Node names the classes that classify names, for pictures of 64 to 4,000 px", async () => {
  const { labels, scores } = await classifyInNode(model, pictures);
  expectAgreement(labels, scores);
}, 240_000);

it.skipIf(chromiumPath === undefined)(
  `transformers.js in Chromium names the classes that classify names${withoutChromium}`,
  async () => {
    const names = pictures.map((path) => basename(path));
    const { labels, scores } = await classifyInChromium(model, join(data.path, "pictures"), names);
    expectAgreement(labels, scores);
  },
  240_000,
);
