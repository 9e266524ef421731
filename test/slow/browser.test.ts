import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { unzipSync } from "fflate";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { shape, shapeFolder, shapeKinds } from "../../bench/lib/shapes.ts";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { type TemporaryFolder, temporaryFolder } from "../../src/files/temporary.ts";
import { exportClassifier } from "../../src/index.ts";
import { classifyImages } from "../../src/jobs/classify.ts";
import { classifyInNode } from "../support/in-node.ts";
import { writeDropped } from "../support/page-files.ts";

const each = 14;
/** Images that the page, the command line and the exported classifier are compared on. */
const pictures = Number(process.env.PICTURES ?? 500);
const minutes = 60_000;

describe.skipIf(chromiumPath === undefined)("a distillation in Chromium", () => {
  let folder: TemporaryFolder;
  let server: AppServer;
  let browser: BrowserContext;
  let page: Page;
  let set: string;
  let model: string;

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

  const downloaded = async (text: string, name: string): Promise<string> => {
    const waiting = page.waitForEvent("download");
    await page.click(`text=${text}`);
    const files = unzipSync(new Uint8Array(await readFile(await (await waiting).path())));
    const out = join(folder.path, name);
    await writeDropped(
      out,
      Object.entries(files).map(([path, bytes]) => ({ path, bytes })),
    );
    return out;
  };
  const filesIn = async (path: string) =>
    (await readdir(path, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => relative(path, join(parentPath, name)))
      .sort();

  it(
    "gives a set that the command line reads",
    async () => {
      set = await downloaded("Download the set", "set");
      const { manifest } = await readArtifact(set);
      expect(manifest.machine.browser).toContain("Chrome");
      expect(manifest.config.steps).toBe(30);
      expect(manifest.metrics.closedForm!.top1).toBeGreaterThan(1 / 3);
      // Found out from the images.
      expect(manifest.config.mirror).toBe(true);
      expect(manifest.data.notes.join()).toContain("mirrored images keep their class");
    },
    minutes,
  );

  it(
    "gives the classifier that `clp-dd export` makes of that set",
    async () => {
      model = await downloaded("Download the classifier", "model");
      const exported = join(folder.path, "exported");
      await exportClassifier(set, { out: exported });
      expect(await filesIn(model)).toEqual(await filesIn(exported));
      for (const name of ["config.json", "preprocessor_config.json", "README.md"]) {
        expect(await readFile(join(model, name), "utf8")).toBe(await readFile(join(exported, name), "utf8"));
      }
    },
    minutes,
  );

  it(
    `classifies as in the page: ${pictures} images, by the command line and by ONNX Runtime with the classifier`,
    async () => {
      await page.click("text=the distilled images");
      const photos: string[] = [];
      const inPage: string[] = [];
      for (let i = 0; i < pictures; i++) {
        const kind = shapeKinds[i % shapeKinds.length]!;
        const bytes = await shape(kind, 1000 + i);
        const path = join(folder.path, `${kind}-${i}.png`);
        await writeFile(path, bytes);
        photos.push(path);
        const last = await page.$$eval("[data-number]", (all) =>
          Number(all[0]?.getAttribute("data-number") ?? 0),
        );
        await drop(page, [{ path: `${i}.png`, bytes }], ".classify");
        const result = await page.waitForSelector(`[data-number="${last + 1}"]`, { timeout: minutes });
        inPage.push((await result.textContent())!);
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
      const share = (same: readonly boolean[]) => same.filter(Boolean).length / same.length;
      const asPrinted = share(expected.map((text, i) => text === inPage[i]));
      const { labels } = await classifyInNode(model, photos);
      const sameClass = share(labels.map((label, i) => inPage[i]!.includes(label)));
      console.log(
        `${pictures} images: the page and \`clp-dd classify\` print the same of ${percent(asPrinted)}, ` +
          `the classifier in Node gives the same class to ${percent(sameClass)}`,
      );
      expect(asPrinted).toBeGreaterThanOrEqual(0.99);
      expect(sameClass).toBeGreaterThanOrEqual(0.99);
    },
    10 * minutes,
  );
});
