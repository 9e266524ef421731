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
import { answered, setShown, startDistilling } from "../lib/app-page.ts";
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
  await answered(page, count, 10 * minutes);
}
declare function imagesNow(): number;

/** Counts frames from now on. */
async function countFrames(page: Page): Promise<void> {
  await page.evaluate(() => {
    const began = performance.now();
    let [frames, last, longestFrameMs] = [0, began, 0];
    const count = (now: number) => {
      frames++;
      longestFrameMs = Math.max(longestFrameMs, now - last);
      last = now;
      request = requestAnimationFrame(count);
    };
    let request = requestAnimationFrame(count);
    const framesCounted = () => {
      cancelAnimationFrame(request);
      return { framesPerSecond: (1000 * frames) / (performance.now() - began), longestFrameMs };
    };
    Object.assign(globalThis, { framesCounted });
  });
}
declare function framesCounted(): { framesPerSecond: number; longestFrameMs: number };

/** Bytes of the page and its workers as the browser says them, and of the process that runs both where the system does. */
export interface PageMemory {
  readonly bytes: number | undefined;
  readonly processBytes: number | undefined;
}

/** One distillation, with the memory after it. */
export interface DistilledFigures extends PageMemory {
  readonly steps: number;
  readonly seconds: number;
  /** Frames that the page drew per second meanwhile, and the longest time without one. */
  readonly framesPerSecond: number;
  readonly longestFrameMs: number;
}

/** What a part found; the other fields are absent. */
export interface PageFigures {
  readonly browser?: string;
  readonly threads?: number;
  /** From opening the address to a loaded encoder. */
  readonly readySeconds?: number;
  /** What the page reported as errors. */
  readonly errors: readonly string[];
  readonly gathered?: {
    readonly images: number;
    readonly imagesPerSecond: number;
    /** Of the last answer, which is of all images. */
    readonly answerSeconds: number;
  };
  readonly distilled?: readonly DistilledFigures[];
  readonly before?: PageMemory;
  readonly after?: PageMemory;
  /** Of files, by name. */
  readonly sizes?: Readonly<Record<string, { readonly bytes: number; readonly gzip: number }>>;
}

async function memory(page: Page): Promise<PageMemory> {
  const bytes = await page.evaluate(async () => {
    const { measureUserAgentSpecificMemory } = performance as Performance & {
      measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }>;
    };
    // The browser may wait with its answer until it collects garbage for reasons of its own.
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 20_000, undefined));
    return (await Promise.race([measureUserAgentSpecificMemory?.call(performance), late]))?.bytes;
  });
  return { bytes, processBytes: await rendererBytes() };
}

async function weigh(): Promise<PageFigures["sizes"]> {
  const folders = { "": join(cloneFolder, "dist/app"), "models/": join(cloneFolder, "models") };
  const sizes: Record<string, { bytes: number; gzip: number }> = {};
  for (const [prefix, folder] of Object.entries(folders)) {
    for (const name of (await readdir(folder, { recursive: true })).sort()) {
      const bytes = await readFile(join(folder, name)).catch(() => undefined);
      if (bytes) sizes[prefix + name] = { bytes: bytes.length, gzip: gzipSync(bytes).length };
    }
  }
  return sizes;
}

async function inPage(work: (page: Page) => Promise<Partial<PageFigures>>): Promise<PageFigures> {
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

/** Gathers drawings of all kinds. */
async function gathered(page: Page): Promise<Required<PageFigures>["gathered"]> {
  const began = performance.now();
  await gather(page, images, shapeKinds);
  const imagesPerSecond = images / ((performance.now() - began) / 1000);
  const answerSeconds = Number(await page.getAttribute("[data-images]", "data-milliseconds")) / 1000;
  return { images, imagesPerSecond, answerSeconds };
}

const parts: Record<string, () => Promise<PageFigures>> = {
  weight: async () => ({ sizes: await weigh(), errors: [] }),
  gather: () => inPage(async (page) => ({ gathered: await gathered(page) })),
  many: () =>
    inPage(async (page) => ({
      before: await memory(page),
      gathered: await gathered(page),
      after: await memory(page),
    })),
  distill: () =>
    inPage(async (page) => {
      await gather(page, 40, shapeKinds.slice(0, 2));
      const before = await memory(page);
      const distilled: DistilledFigures[] = [];
      for (let run = 0; run < Number(values.runs); run++) {
        const asked = performance.now();
        await countFrames(page);
        // Of two classes: 8 images.
        await startDistilling(page, { perClass: 4, steps });
        await setShown(page, 30 * minutes);
        const seconds = (performance.now() - asked) / 1000;
        const frames = await page.evaluate(() => framesCounted());
        distilled.push({ steps, seconds, ...frames, ...(await memory(page)) });
        await page.click("text=Remove the result");
        await page.waitForSelector("[data-set]", { state: "detached" });
      }
      return { before, distilled };
    }),
};

const measured = parts[part ?? ""];
if (measured === undefined) {
  process.stdout.write(usageOf(import.meta.url));
  process.exit(2);
}
console.log(JSON.stringify(await measured()));
