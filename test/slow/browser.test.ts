import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unzipSync } from "fflate";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { shape, shapeFolder, shapeKinds } from "../../bench/lib/shapes.ts";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { makeFolders } from "../../src/files/disk.ts";
import { type TemporaryFolder, temporaryFolder } from "../../src/files/temporary.ts";
import { classifyImages } from "../../src/jobs/classify.ts";

const each = 14;
const minutes = 60_000;

describe.skipIf(chromiumPath === undefined)("a distillation in Chromium", () => {
  let folder: TemporaryFolder;
  let server: AppServer;
  let browser: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    folder = await temporaryFolder("browser");
    server = await serveApp(0);
    browser = await openBrowser(join(folder.path, "profile"));
    ({ page } = await openApp(browser, server.url));
    await drop(page, await shapeFolder(each));
    await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: 2 * minutes });
  }, 4 * minutes);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await folder?.remove();
  });

  it(
    "distills, and takes a distillation up again after a reload in the middle of it",
    async () => {
      await page.click("summary");
      await page.fill("details input[type=number]", "30");
      await page.click("button[type=submit]");
      const stepOf = () =>
        page.$eval("[data-step]", (element) => Number(element.getAttribute("data-step"))).catch(() => 0);
      await expect.poll(stepOf, { timeout: minutes, interval: 50 }).toBeGreaterThan(3);
      await page.click("text=Pause");
      await page.waitForSelector("[data-phase=paused]");
      const before = await stepOf();
      await page.reload();
      await page.waitForSelector("[data-phase=paused]", { timeout: minutes });
      expect(await stepOf()).toBe(before);
      await page.click("text=Resume");
      await page.waitForSelector("[data-set]", { timeout: 6 * minutes });
      expect(await page.textContent("[data-set]")).toContain("3 synthetic images of 3 classes");
    },
    9 * minutes,
  );

  it(
    "gives a set that the command line reads, and that classifies there as in the page",
    async () => {
      const waiting = page.waitForEvent("download");
      await page.click("text=Download the set");
      const files = unzipSync(new Uint8Array(await readFile(await (await waiting).path())));
      const set = join(folder.path, "set");
      for (const [name, bytes] of Object.entries(files)) {
        await makeFolders(join(set, name, ".."));
        await writeFile(join(set, name), bytes);
      }
      const { manifest } = await readArtifact(set);
      expect(manifest.machine.browser).toContain("Chrome");
      expect(manifest.config.steps).toBe(30);
      expect(manifest.metrics.closedForm!.top1).toBeGreaterThan(1 / 3);

      await page.click("text=the distilled images");
      const photos: string[] = [];
      const inPage: (string | null)[] = [];
      for (const [i, kind] of shapeKinds.entries()) {
        for (const number of [100 + i, 200 + i]) {
          const bytes = await shape(kind, number);
          const path = join(folder.path, `${kind}-${number}.png`);
          await writeFile(path, bytes);
          photos.push(path);
          const last = await page.$$eval("[data-number]", (all) =>
            Number(all[0]?.getAttribute("data-number") ?? 0),
          );
          await drop(page, [{ path: `${number}.png`, bytes }], ".classify");
          const result = await page.waitForSelector(`[data-number="${last + 1}"]`, { timeout: minutes });
          inPage.push(await result.textContent());
        }
      }
      const { images } = await classifyImages(
        { set, images: photos },
        { signal: new AbortController().signal, progress: () => undefined, note: () => undefined },
      );
      const percent = (p: number) => `${Math.round(100 * p)} %`;
      const expected = images.map((image) => {
        if (!("class" in image)) throw new Error(image.unreadable);
        return image.unknown
          ? `Possibly none of these; closest: ${image.class}`
          : `${image.class}, ${percent(image.probability!)}`;
      });
      expect(inPage).toEqual(expected);
    },
    2 * minutes,
  );
});
