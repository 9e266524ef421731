import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { zipSync } from "fflate";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, type Dropped, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { shape, shapeFolder, type shapeKinds } from "../../bench/lib/shapes.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { type TemporaryFolder, temporaryFolder } from "../../src/files/temporary.ts";
import { baseline } from "../../src/index.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { writeDropped } from "../support/page-files.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const each = 8;
const minutes = 60_000;

/** All files under a folder, as if the folder were dropped. */
async function folderToDrop(folder: string, name: string): Promise<Dropped[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return { path: `${name}/${relative(folder, path)}`, bytes: await readFile(path) };
      }),
  );
}

describe.skipIf(chromiumPath === undefined)("what is dropped on the page in Chromium", () => {
  let folder: TemporaryFolder;
  let server: AppServer;
  let browser: BrowserContext;
  let page: Page;
  let errors: string[];
  let set: Dropped[];

  beforeAll(async () => {
    folder = await temporaryFolder("browser-back");
    server = await serveApp(0);
    browser = await openBrowser(join(folder.path, "profile"));
    ({ page, errors } = await openApp(browser, server.url));
    page.on("dialog", (dialog) => void dialog.accept());
    const data = join(folder.path, "data");
    await writeDropped(data, await shapeFolder(each, 0));
    const out = join(folder.path, "set");
    await baseline({
      ...{ kind: "random", data: join(data, "shapes"), out, ipc: 2, size: 128 },
      ...{ cacheFolder: join(folder.path, "cache"), baselines: false, edits: false },
    });
    set = await folderToDrop(out, "drawings");
  }, 4 * minutes);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await folder?.remove();
  });

  const classified = async (kind: (typeof shapeKinds)[number], number: number) => {
    const last = await page
      .$eval("[data-number]", (element) => Number(element.getAttribute("data-number")))
      .catch(() => 0);
    await drop(page, [{ path: `${number}.png`, bytes: await shape(kind, number) }], ".classify");
    const result = await page.waitForSelector(`[data-number="${last + 1}"]`, { timeout: minutes });
    return result.textContent();
  };

  it(
    "opens the folder of a set that the command line wrote, and classifies with it",
    async () => {
      await drop(page, set);
      await page.waitForSelector("[data-set]", { timeout: minutes });
      expect(await page.textContent("[data-set]")).toContain("6 synthetic images of 3 classes");
      expect(await classified("stripes", 400)).toContain("stripes");
      await page.click("text=Remove the result");
    },
    2 * minutes,
  );

  it(
    "opens its zip",
    async () => {
      const zip = zipSync(Object.fromEntries(set.map(({ path, bytes }) => [path, new Uint8Array(bytes)])));
      await drop(page, [{ path: "drawings.zip", bytes: zip }]);
      await page.waitForSelector("[data-set]", { timeout: minutes });
      await page.reload();
      await page.waitForSelector("[data-set]", { timeout: minutes });
    },
    2 * minutes,
  );

  it(
    "says of a zip that is none what is missing",
    async () => {
      await drop(page, [{ path: "other.zip", bytes: zipSync({ "a.txt": new Uint8Array(3) }) }]);
      await page.waitForSelector("text=holds no manifest.json", { timeout: minutes });
      await page.click("text=Dismiss");
    },
    minutes,
  );

  it(
    "makes a project of a project's file, beside the one that is there",
    async () => {
      await page.fill("input[placeholder='Untitled project']", "Drawings");
      await page.keyboard.press("Tab");
      await drop(page, await shapeFolder(each));
      await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: minutes });
      const waiting = page.waitForEvent("download");
      await page.click("text=Save project to a file");
      const bytes = new Uint8Array(await readFile(await (await waiting).path()));
      await page.click("text=New project");
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await page.waitForSelector('[data-images="0"]');
      await drop(page, [{ path: "project.zip", bytes }]);
      await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: minutes });
      await page.waitForSelector("[data-set]", { timeout: minutes });
      const names = await page.$$eval(".project select option", (all) => all.map((e) => e.textContent));
      expect(names.filter((name) => name === "Drawings")).toHaveLength(2);
    },
    2 * minutes,
  );

  it(
    "switches between projects and deletes one",
    async () => {
      const count = () => page.$$eval(".project select option", (all) => all.length);
      const before = await count();
      await page.selectOption(".project select", { label: "Untitled project" });
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await page.waitForSelector('[data-images="0"]');
      await page.click("text=Delete project");
      await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: minutes });
      expect(await count()).toBe(before - 1);
    },
    2 * minutes,
  );

  it(
    "starts a project with an .onnx encoder, and leaves the other as it is",
    async () => {
      const { model } = writeOnnx(smallEncoder(smallGraph()).graph);
      await drop(page, [{ path: "tiny.onnx", bytes: model }]);
      await page.waitForSelector(`text=${smallFeatures} features of ${smallSide} × ${smallSide} px`, {
        timeout: minutes,
      });
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await drop(page, await shapeFolder(each));
      await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: minutes });
      await page.selectOption(".project select", { label: "Drawings" });
      await page.waitForSelector("text=1280 features of 128 × 128 px", { timeout: minutes });
      await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: minutes });
    },
    2 * minutes,
  );

  it(
    "refuses a file that is not a model, in words",
    async () => {
      await drop(page, [{ path: "broken.onnx", bytes: new Uint8Array(100).fill(7) }]);
      await page.waitForSelector("text=Something went wrong", { timeout: minutes });
      expect(errors).toEqual([]);
    },
    minutes,
  );
});
