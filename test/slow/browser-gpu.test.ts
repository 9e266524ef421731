import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { shapeFolder } from "../../bench/lib/shapes.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { type TemporaryFolder, temporaryFolder } from "../../src/files/temporary.ts";
import { softwareGpu } from "../support/software-gpu.ts";

const minutes = 60_000;

describe.skipIf(chromiumPath === undefined)("a distillation by WebGPU, in software", () => {
  let folder: TemporaryFolder;
  let server: AppServer;
  let browser: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    folder = await temporaryFolder("browser-gpu");
    server = await serveApp(0);
    browser = await openBrowser(join(folder.path, "profile"), { args: softwareGpu });
    ({ page } = await openApp(browser, server.url));
    await drop(page, await shapeFolder(5));
    await page.waitForSelector('[data-images="15"]', { timeout: 2 * minutes });
  }, 4 * minutes);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await folder?.remove();
  });

  it(
    "is used where a trial agrees with WebAssembly, and continues in WebAssembly where the device is lost",
    async () => {
      const worker = page.workers()[0]!;
      // The device that the runtime asks for, so that it can be taken away.
      await worker.evaluate(`
        const { requestDevice } = GPUAdapter.prototype;
        globalThis.devices = [];
        GPUAdapter.prototype.requestDevice = async function (...args) {
          const device = await requestDevice.apply(this, args);
          globalThis.devices.push(device);
          return device;
        };
      `);
      await page.click("summary");
      await page.fill("details input[type=number]", "12");
      await page.selectOption("details select >> nth=1", "webgpu");
      await page.click("button[type=submit]");
      await page.waitForSelector("text=/^WebGPU: .* results differ by/", { timeout: 8 * minutes });
      const step = () =>
        page.$eval("[data-step]", (element) => Number(element.getAttribute("data-step"))).catch(() => -1);
      await expect.poll(step, { timeout: 8 * minutes }).toBeGreaterThan(1);
      await worker.evaluate("for (const device of globalThis.devices) device.destroy()");
      await page.waitForSelector("text=WebAssembly continues from the last checkpoint", {
        timeout: 2 * minutes,
      });
      await page.waitForSelector("[data-set]", { timeout: 5 * minutes });
      expect(await page.textContent("[data-set]")).not.toContain("Stopped");
    },
    20 * minutes,
  );
});
