import { readFile } from "node:fs/promises";
import { type Unzipped, unzipSync } from "fflate";
import type { Page } from "playwright-core";
import { type Dropped, drop } from "./chromium.ts";

/** What a person does on the page, for scripts. */

const minutes = 60_000;

/** Waits until the answer is of so many images. */
export async function answered(page: Page, images: number, timeout = 2 * minutes): Promise<void> {
  await page.waitForSelector(`[data-images="${images}"]`, { timeout });
}

/** Settings of a distillation; what is not given is left as it is. */
export interface Settings {
  readonly perClass?: number;
  readonly steps: number;
  readonly device?: "auto" | "wasm" | "webgpu";
}

/** Begins a distillation. */
export async function startDistilling(page: Page, { perClass, steps, device }: Settings): Promise<void> {
  if (perClass !== undefined) await page.fill("form .fields input", `${perClass}`);
  if (!(await page.isVisible("details input[type=number]"))) await page.click("summary");
  await page.fill("details input[type=number]", `${steps}`);
  if (device !== undefined) await page.selectOption("details select >> nth=1", device);
  await page.click("[aria-labelledby=distill] button[type=submit]");
}

/** Steps of the distillation so far; -1 where none is shown. */
export const stepOf = (page: Page): Promise<number> =>
  page.$eval("[data-step]", (element) => Number(element.getAttribute("data-step"))).catch(() => -1);

/** Waits until a set is shown. @returns what the page says of it */
export async function setShown(page: Page, timeout: number): Promise<string> {
  const shown = await page.waitForSelector("[data-set]", { timeout });
  return (await shown.textContent()) ?? "";
}

/** Drops a photo to be classified. @returns what the page says of it */
export async function classified(page: Page, photo: Dropped): Promise<string> {
  const last = await page
    .$eval("[data-number]", (element) => Number(element.getAttribute("data-number")))
    .catch(() => 0);
  await drop(page, [photo], ".classify");
  // A new answer classifies the photo once more, which may come before the first result is seen.
  const result = await page.waitForSelector(`[data-number]:not([data-number="${last}"])`, {
    timeout: minutes,
  });
  return (await result.textContent()) ?? "";
}

/** Clicks on what begins a download. @returns the bytes of the file */
export async function downloaded(page: Page, text: string): Promise<Uint8Array> {
  const waiting = page.waitForEvent("download");
  await page.click(`text=${text}`);
  return new Uint8Array(await readFile(await (await waiting).path()));
}

/** The same of a zip. @returns its files by their names */
export const downloadedZip = async (page: Page, text: string): Promise<Unzipped> =>
  unzipSync(await downloaded(page, text));
