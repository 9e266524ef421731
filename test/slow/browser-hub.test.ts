import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BrowserContext } from "playwright-core";
import { expect, it } from "vitest";
import { answered, downloadedZip, setShown, startDistilling } from "../../bench/lib/app-page.ts";
import { drop } from "../../bench/lib/chromium.ts";
import { shapeFolder } from "../../bench/lib/shapes.ts";
import { parseManifest } from "../../src/artifact/manifest.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { loadEncoder } from "../../src/index.ts";
import { describeApp } from "../support/app-in-chromium.ts";
import { largestDifference } from "../support/page-features.ts";
import { writeDropped } from "../support/page-files.ts";

const minutes = 60_000;
const commit = "0123456789abcdef0123456789abcdef01234567";
const model = fileURLToPath(new URL("../fixtures/encoders/vit", import.meta.url));

const asked: string[] = [];

/** Nothing leaves this machine: the browser gets the hub's answers from here. */
async function standIn(browser: BrowserContext): Promise<void> {
  await browser.route("https://huggingface.co/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    asked.push(pathname);
    const headers = { "Access-Control-Allow-Origin": "*" };
    if (pathname === "/api/models/people/vit/revision/main") {
      const siblings = (await readdir(model)).map((rfilename) => ({ rfilename }));
      await route.fulfill({ headers, json: { sha: commit, siblings } });
      return;
    }
    const file = /^\/people\/vit\/resolve\/([0-9a-f]+)\/([\w.]+)$/.exec(pathname);
    if (file?.[1] === commit) await route.fulfill({ headers, body: await readFile(join(model, file[2]!)) });
    else await route.fulfill({ headers, status: 404 });
  });
}

describeApp("the page for encoders of the hub, and a ready set", { prepare: standIn }, (app) => {
  it(
    "is the only page that may connect to the hub",
    async () => {
      const { page } = app;
      const connects = () =>
        page.evaluate(() =>
          fetch("https://huggingface.co/api/models/people/vit/revision/main").then(
            () => true,
            () => false,
          ),
        );
      expect(await connects()).toBe(false);
      expect(asked).toEqual([]);
      await page.click("text=Use an encoder of the Hugging Face hub");
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      expect(await connects()).toBe(true);
    },
    minutes,
  );

  it(
    "makes a project with an encoder of a name, which gives features as the folder on the command line",
    async () => {
      const { page } = app;
      await page.fill("input[placeholder=dinov2-small]", "people/vit");
      await page.click("text=Fetch and start a new project");
      const encoder = await loadEncoder(model);
      const [side] = encoder.preprocessing.crop;
      await page.waitForSelector(`text=people/vit: ${encoder.featureSize} features of ${side} × ${side} px`, {
        timeout: minutes,
      });
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      const drawings = await shapeFolder(4);
      await drop(page, drawings);
      await answered(page, drawings.length);
      await writeDropped(app.folder, drawings);
      const files = drawings.map(({ path }) => ({ path, file: join(app.folder, path) }));
      expect(await largestDifference(page, encoder, files)).toBeLessThan(1e-4);
      await encoder.release();
    },
    2 * minutes,
  );

  it(
    "says what is wrong with a name that the hub does not have",
    async () => {
      const { page } = app;
      await page.fill("input[placeholder=dinov2-small]", "people/nothing");
      await page.click("text=Fetch and start a new project");
      await page.waitForSelector("text=could not be fetched", { timeout: minutes });
      await page.click("text=Dismiss");
    },
    minutes,
  );

  it(
    "adds a ready set, whose license a set that is made from it names",
    async () => {
      const { page } = app;
      await page.click("text=Back to the page that connects to nobody");
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await page.click("text=New project");
      await page.click("text=Try a ready set", { timeout: minutes });
      await answered(page, 144);
      const names = await page.$$eval("[data-name]", (all) => all.map((e) => e.getAttribute("data-name")));
      expect(names).toEqual(["animals", "buildings", "clothing", "faces", "food", "vehicles"]);
      await startDistilling(page, { steps: 3 });
      await setShown(page, 3 * minutes);
      const files = await downloadedZip(page, "Download the set");
      const text = new TextDecoder().decode(files["manifest.json"]);
      const { data } = await parseManifest(text, "manifest.json", sha256OfText);
      expect(data.licenses).toEqual([
        {
          name: "Noto Emoji",
          author: "Google Inc",
          spdx: "Apache-2.0",
          url: "https://github.com/googlefonts/noto-emoji",
        },
      ]);
    },
    8 * minutes,
  );
});
