import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unzipSync } from "fflate";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { shapeFolder } from "../../bench/lib/shapes.ts";
import { parseManifest } from "../../src/artifact/manifest.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { sha256OfText } from "../../src/files/hash.ts";
import { type TemporaryFolder, temporaryFolder } from "../../src/files/temporary.ts";
import { loadEncoder } from "../../src/index.ts";

const minutes = 60_000;
const commit = "0123456789abcdef0123456789abcdef01234567";
const model = fileURLToPath(new URL("../fixtures/encoders/vit", import.meta.url));

describe.skipIf(chromiumPath === undefined)("the page for encoders of the hub, and a ready set", () => {
  let folder: TemporaryFolder;
  let server: AppServer;
  let browser: BrowserContext;
  let page: Page;
  const asked: string[] = [];

  beforeAll(async () => {
    folder = await temporaryFolder("browser-hub");
    server = await serveApp(0);
    browser = await openBrowser(join(folder.path, "profile"));
    // Nothing leaves this machine: the browser gets the hub's answers from here.
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
    ({ page } = await openApp(browser, server.url));
  }, 2 * minutes);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await folder?.remove();
  });

  it(
    "is the only page that may connect to the hub",
    async () => {
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
      await page.fill("input[placeholder=dinov2-small]", "people/vit");
      await page.click("text=Fetch and start a new project");
      const encoder = await loadEncoder(model);
      const [side] = encoder.preprocessing.crop;
      await page.waitForSelector(`text=people/vit: ${encoder.featureSize} features of ${side} × ${side} px`, {
        timeout: minutes,
      });
      await encoder.release();
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await drop(page, await shapeFolder(4));
      await page.waitForSelector('[data-images="12"]', { timeout: minutes });
    },
    2 * minutes,
  );

  it(
    "says what is wrong with a name that the hub does not have",
    async () => {
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
      await page.click("text=Back to the page that connects to nobody");
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await page.click("text=New project");
      await page.click("text=Try a ready set", { timeout: minutes });
      await page.waitForSelector('[data-images="144"]', { timeout: 2 * minutes });
      const names = await page.$$eval("[data-name]", (all) => all.map((e) => e.getAttribute("data-name")));
      expect(names).toEqual(["animals", "buildings", "clothing", "faces", "food", "vehicles"]);
      await page.click("summary");
      await page.fill("details input[type=number]", "3");
      await page.click("button[type=submit] >> nth=0");
      await page.waitForSelector("[data-set]", { timeout: 3 * minutes });
      const waiting = page.waitForEvent("download");
      await page.click("text=Download the set");
      const files = unzipSync(new Uint8Array(await readFile(await (await waiting).path())));
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
