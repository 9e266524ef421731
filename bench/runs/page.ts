/**
 * Measures the page in Chromium, one part at a time, and prints one line of JSON.
 *
 *   npm run build && npm run bench:build && node .bench/bench/runs/page.js gather|distill|many|weight
 *
 * gather: seconds until the page is ready, and images gathered per second (--images).
 * distill: seconds of a distillation of 8 images in --steps steps, --runs times in one tab, with the memory after each.
 * many: --images drawings in one project: their rate, memory, and seconds of the last answer.
 * weight: bytes of the page's files.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { serveApp } from "../../src/cli/app-server.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { drop, openApp, openBrowser } from "../lib/chromium.ts";
import { cloneFolder } from "../lib/page-bundle.ts";
import { rendererBytes } from "../lib/renderer-memory.ts";
import { type Kind, shape, shapeKinds } from "../lib/shapes.ts";
import { usageOf } from "../lib/usage.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    images: { type: "string", default: "300" },
    steps: { type: "string", default: "200" },
    runs: { type: "string", default: "1" },
  },
});
const [part] = positionals;
const images = Number(values.images);
const steps = Number(values.steps);
const minutes = 60_000;

/** Drops drawings of some kinds, a few hundred at a time, and waits until all are there. */
async function gather(page: Page, count: number, kinds: readonly Kind[]): Promise<void> {
  const atOnce = 250;
  for (let from = 0; from < count; from += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, count - from) }, (_, i) => from + i);
    const files = numbers.map(async (i) => {
      const kind = kinds[i % kinds.length]!;
      return { path: `shapes/${kind}/${i}.png`, bytes: await shape(kind, i) };
    });
    await drop(page, await Promise.all(files));
    await page.waitForFunction(
      (expected) => document.querySelectorAll("[data-left='0']").length > 0 && imagesNow() === expected,
      from + numbers.length,
      { timeout: 30 * minutes },
    );
  }
  await page.waitForSelector(`[data-images="${count}"]`, { timeout: 10 * minutes });
}
declare function imagesNow(): number;

/** Bytes of the page and its workers as the browser says them, and of the process that runs both where the system does. */
async function memory(page: Page): Promise<{ bytes: number | undefined; processBytes: number | undefined }> {
  const bytes = await page.evaluate(async () => {
    const { measureUserAgentSpecificMemory } = performance as Performance & {
      measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }>;
    };
    return (await measureUserAgentSpecificMemory?.call(performance))?.bytes;
  });
  return { bytes, processBytes: await rendererBytes() };
}

async function weigh(): Promise<Record<string, { bytes: number; gzip: number }>> {
  const app = join(cloneFolder, "dist/app");
  const sizes: Record<string, { bytes: number; gzip: number }> = {};
  for (const name of (await readdir(app, { recursive: true })).sort()) {
    const bytes = await readFile(join(app, name)).catch(() => undefined);
    if (bytes) sizes[name] = { bytes: bytes.length, gzip: gzipSync(bytes).length };
  }
  return sizes;
}

async function inPage(work: (page: Page) => Promise<object>): Promise<object> {
  const folder = await temporaryFolder("page");
  const server = await serveApp(0);
  const browser = await openBrowser(join(folder.path, "profile"), {
    args: ["--enable-blink-features=ForceEagerMeasureMemory"],
  });
  try {
    const began = performance.now();
    const { page, errors } = await openApp(browser, server.url);
    const readySeconds = (performance.now() - began) / 1000;
    await page.evaluate(() => {
      const imagesNow = () =>
        [...document.querySelectorAll("[data-count]")].reduce(
          (sum, element) => sum + Number(element.getAttribute("data-count")),
          0,
        );
      Object.assign(globalThis, { imagesNow });
    });
    const found = await work(page);
    const threads = Number(await page.getAttribute("[data-threads]", "data-threads"));
    const agent = await page.evaluate(() => navigator.userAgent);
    return { browser: /Chrome\/\d+/.exec(agent)?.[0] ?? agent, threads, readySeconds, ...found, errors };
  } finally {
    await browser.close();
    await server.close();
    await folder.remove();
  }
}

const answerSeconds = async (page: Page): Promise<number> =>
  Number(await page.getAttribute("[data-images]", "data-milliseconds")) / 1000;

const parts: Record<string, () => Promise<object>> = {
  weight: async () => ({ sizes: await weigh() }),
  gather: () =>
    inPage(async (page) => {
      const began = performance.now();
      await gather(page, images, shapeKinds);
      const imagesPerSecond = images / ((performance.now() - began) / 1000);
      return { images, imagesPerSecond, answerSeconds: await answerSeconds(page) };
    }),
  many: () =>
    inPage(async (page) => {
      const before = await memory(page);
      const began = performance.now();
      await gather(page, images, shapeKinds);
      const imagesPerSecond = images / ((performance.now() - began) / 1000);
      return {
        images,
        imagesPerSecond,
        answerSeconds: await answerSeconds(page),
        before,
        after: await memory(page),
      };
    }),
  distill: () =>
    inPage(async (page) => {
      await gather(page, 40, shapeKinds.slice(0, 2));
      const before = await memory(page);
      const runs: object[] = [];
      for (let run = 0; run < Number(values.runs); run++) {
        // 2 classes: 8 images.
        await page.fill("form .fields input", "4");
        if (run === 0) await page.click("summary");
        await page.fill("details input[type=number]", String(steps));
        const asked = performance.now();
        await page.click("button[type=submit]");
        await page.waitForSelector("[data-set]", { timeout: 30 * minutes });
        runs.push({ seconds: (performance.now() - asked) / 1000, ...(await memory(page)) });
        await page.click("text=Remove the result");
      }
      return { synthetic: 8, steps, before, runs };
    }),
};

const measured = parts[part ?? ""];
if (measured === undefined) {
  process.stdout.write(usageOf(import.meta.url));
  process.exit(2);
}
console.log(JSON.stringify({ part, ...(await measured()) }));
