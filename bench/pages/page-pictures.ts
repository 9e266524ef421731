import { join } from "node:path";
import sharp from "sharp";
import { serveApp } from "../../src/cli/app-server.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { drop, openApp, openBrowser } from "../lib/chromium.ts";
import { shape, shapeFolder } from "../lib/shapes.ts";

/*
 * Writes the pictures of the page in docs/images: npm run build && npm run bench:build && node .bench/bench/pages/page-pictures.js
 */
const images = join(import.meta.dirname, "../../../docs/images");
const folder = await temporaryFolder("pictures");
const server = await serveApp(0);
const browser = await openBrowser(join(folder.path, "profile"));
try {
  const { page } = await openApp(browser, server.url);
  const write = async (name: string) =>
    sharp(await page.screenshot({ fullPage: true }))
      .webp({ quality: 70 })
      .toFile(join(images, `${name}.webp`));
  await drop(page, await shapeFolder(12));
  await page.waitForSelector('[data-images="36"]', { timeout: 300_000 });
  await drop(page, [{ path: "photo.png", bytes: await shape("square", 300) }], ".classify");
  await page.waitForSelector("[data-number]");
  await page.emulateMedia({ colorScheme: "light" });
  await write("page-gathered");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 400, height: 860 });
  await write("page-phone-dark");
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.fill("form .fields input", "2");
  await page.click("summary");
  await page.fill("details input[type=number]", "60");
  await page.click("button[type=submit]");
  await page.waitForFunction(
    () => Number(document.querySelector("[data-step]")?.getAttribute("data-step")) >= 30,
    undefined,
    { timeout: 900_000 },
  );
  await write("page-distilling");
  await page.waitForSelector("[data-set]", { timeout: 900_000 });
  await page.emulateMedia({ colorScheme: "dark" });
  await write("page-set-dark");
} finally {
  await browser.close();
  await server.close();
  await folder.remove();
}
