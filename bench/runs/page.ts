import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { serveApp } from "../../src/cli/app-server.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";
import { drop, openApp, openBrowser } from "../lib/chromium.ts";
import { shapeFolder } from "../lib/shapes.ts";

/*
 * Measures the page in Chromium: weight, time until it is ready, images gathered per second, seconds per step of a
 * distillation, and memory after several of them. Prints one line of JSON.
 *
 *   npm run build && npm run bench:build && node .bench/bench/runs/page.js [--images 20] [--ipc 3] [--steps 20] [--runs 3]
 */
const { values } = parseArgs({
  options: {
    images: { type: "string", default: "20" },
    ipc: { type: "string", default: "3" },
    steps: { type: "string", default: "20" },
    runs: { type: "string", default: "3" },
  },
});
const each = Number(values.images);
const steps = Number(values.steps);

const folder = await temporaryFolder("page");
const server = await serveApp(0);
const browser = await openBrowser(join(folder.path, "profile"));
try {
  const began = performance.now();
  const { page } = await openApp(browser, server.url);
  const readySeconds = (performance.now() - began) / 1000;

  const gathering = performance.now();
  await drop(page, await shapeFolder(each));
  await page.waitForSelector(`[data-images="${3 * each}"]`, { timeout: 600_000 });
  const gatherSeconds = (performance.now() - gathering) / 1000;

  /** Bytes of the page and its workers, where the browser says them. */
  const memory = () =>
    page.evaluate(async () => {
      const { measureUserAgentSpecificMemory } = performance as Performance & {
        measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }>;
      };
      return (await measureUserAgentSpecificMemory?.call(performance))?.bytes;
    });
  const before = await memory();
  const runs: { startSeconds: number; stepSeconds: number; bytes: number | undefined }[] = [];
  for (let run = 0; run < Number(values.runs); run++) {
    await page.fill("form .fields input", values.ipc);
    if (run === 0) await page.click("summary");
    await page.fill("details input[type=number]", String(steps));
    const asked = performance.now();
    await page.click("button[type=submit]");
    await page.waitForFunction(
      () => Number(document.querySelector("[data-step]")?.getAttribute("data-step")) >= 1,
      undefined,
      { timeout: 600_000 },
    );
    const first = performance.now();
    await page.waitForSelector("form button[type=submit]", { timeout: 1_200_000 });
    runs.push({
      startSeconds: (first - asked) / 1000,
      stepSeconds: (performance.now() - first) / 1000 / (steps - 1),
      bytes: await memory(),
    });
    await page.click("text=Remove the result");
  }
  const app = join(import.meta.dirname, "../../../dist/app");
  const sizes: Record<string, { bytes: number; gzip: number }> = {};
  for (const name of await readdir(app, { recursive: true })) {
    const bytes = await readFile(join(app, name)).catch(() => undefined);
    if (bytes) sizes[name] = { bytes: bytes.length, gzip: gzipSync(bytes).length };
  }
  console.log(
    JSON.stringify({
      browser: await page.evaluate(() => navigator.userAgent),
      threads: /(\d+) thread/.exec((await page.textContent("body")) ?? "")?.[1],
      readySeconds,
      images: 3 * each,
      imagesPerSecond: (3 * each) / gatherSeconds,
      synthetic: 3 * Number(values.ipc),
      steps,
      before,
      runs,
      sizes,
    }),
  );
} finally {
  await browser.close();
  await server.close();
  await folder.remove();
}
