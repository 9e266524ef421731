/**
 * Writes the pictures of the page that docs/browser.md shows: the main states, at the widths of a desktop, a tablet and a
 * phone, light and dark.
 *
 *   npm run build && npm run bench:build && node .bench/bench/pages/page-pictures.js [--steps 150]
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { serveApp } from "../../src/cli/app-server.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { answered, classified, setShown, startDistilling } from "../lib/app-page.ts";
import { openApp, openBrowser } from "../lib/chromium.ts";
import { cloneFolder } from "../lib/page-bundle.ts";
import { shape } from "../lib/shapes.ts";

const { values } = parseArgs({ options: { steps: { type: "string", default: "150" } } });
const images = join(cloneFolder, "docs/images");
const minutes = 60_000;

type Scheme = "light" | "dark";
/** Full pages take much room: a phone's is cut off. */
const heights: Readonly<Record<number, number>> = { 1280: 2600, 768: 2600, 400: 2400 };

/** The panels of the distillation and its result. */
const lower = ".columns >> nth=1";

async function write(
  page: Page,
  state: string,
  width: number,
  colorScheme: Scheme,
  part?: string,
): Promise<void> {
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme });
  // Two frames: styles, then what depends on them.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const picture = sharp(await (part ? page.locator(part).screenshot() : page.screenshot({ fullPage: true })));
  const { width: wide, height } = await picture.metadata();
  const file = join(images, `page-${state}-${width}-${colorScheme}.webp`);
  const shown = Math.min(height, heights[width]!);
  await picture
    .extract({ left: 0, top: 0, width: wide, height: shown })
    .webp({ quality: 60, effort: 6 })
    .toFile(file);
}

const folder = await temporaryFolder("pictures");
const server = await serveApp(0);
const browser = await openBrowser(join(folder.path, "profile"));
try {
  await mkdir(images, { recursive: true });
  const { page } = await openApp(browser, server.url);
  await write(page, "empty", 1280, "light");
  await page.click("text=Try a ready set");
  await answered(page, 144, 5 * minutes);
  await classified(page, { path: "photo.png", bytes: await shape("square", 300) });
  await write(page, "gathered", 1280, "light");
  await write(page, "gathered", 768, "dark");
  await write(page, "gathered", 400, "light");
  await startDistilling(page, { steps: Number(values.steps) });
  await page.waitForFunction(
    (half) => Number(document.querySelector("[data-step]")?.getAttribute("data-step")) >= half,
    Number(values.steps) / 2,
    { timeout: 15 * minutes },
  );
  await page.click("text=Pause");
  await page.waitForSelector("[data-phase=paused]", { timeout: minutes });
  await write(page, "distilling", 1280, "light", lower);
  await write(page, "distilling", 400, "dark", lower);
  await page.click("text=Resume");
  await setShown(page, 15 * minutes);
  await write(page, "set", 1280, "dark", lower);
  await write(page, "set", 768, "light", lower);
  await write(page, "set", 400, "light", lower);
} finally {
  await browser.close();
  await server.close();
  await folder.remove();
}
