import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { answered, setShown, startDistilling, stepOf } from "../../bench/lib/app-page.ts";
import { drop } from "../../bench/lib/chromium.ts";
import { shapeFolder } from "../../bench/lib/shapes.ts";
import { describeApp } from "../support/app-in-chromium.ts";
import { softwareGpu } from "../support/software-gpu.ts";

const minutes = 60_000;
/** A small convolutional network: software takes minutes for the embedded one. */
const model = new URL("../fixtures/models/efficientnet-dynamo20/model.onnx", import.meta.url);
const steps = 60;

/** Drawings, in a project with the small network as its encoder. */
async function gather(page: Page): Promise<void> {
  page.on("dialog", (dialog) => void dialog.accept());
  await drop(page, [{ path: "small.onnx", bytes: await readFile(fileURLToPath(model)) }]);
  await page.waitForSelector("text=/^Encoder: small:/", { timeout: minutes });
  await page.waitForSelector("[data-ready=true]", { timeout: minutes });
  const drawings = await shapeFolder(5);
  await drop(page, drawings);
  await answered(page, drawings.length);
}

describeApp("a distillation by WebGPU, in software", { args: softwareGpu }, (app) => {
  it(
    "is used where a trial agrees with WebAssembly, and continues in WebAssembly where the device is lost",
    async () => {
      const { page } = app;
      await gather(page);
      const worker = page.workers().find((each) => each.url().includes("/assets/worker"))!;
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
      await startDistilling(page, { steps, device: "webgpu" });
      await page.waitForSelector("text=/^WebGPU: .* results differ by/", { timeout: 5 * minutes });
      await expect.poll(() => stepOf(page), { timeout: 5 * minutes }).toBeGreaterThan(1);
      expect(await page.isVisible("text=/GPU failed/")).toBe(false);
      expect(await worker.evaluate("globalThis.devices.length")).toBe(1);
      await worker.evaluate("globalThis.devices[0].destroy()");
      await page.waitForSelector("text=The GPU failed; WebAssembly continues from the last checkpoint.", {
        timeout: 2 * minutes,
      });
      expect(await setShown(page, 5 * minutes)).not.toContain("Stopped");
      expect(app.errors).toEqual([]);
    },
    15 * minutes,
  );
});
