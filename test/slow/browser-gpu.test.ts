import { expect, it } from "vitest";
import { setShown, startDistilling, stepOf } from "../../bench/lib/app-page.ts";
import { describeApp } from "../support/app-in-chromium.ts";
import { softwareGpu } from "../support/software-gpu.ts";

const minutes = 60_000;

describeApp("a distillation by WebGPU, in software", { args: softwareGpu, drawings: 5 }, (app) => {
  it(
    "is used where a trial agrees with WebAssembly, and continues in WebAssembly where the device is lost",
    async () => {
      const { page } = app;
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
      await startDistilling(page, { steps: 12, device: "webgpu" });
      await page.waitForSelector("text=/^WebGPU: .* results differ by/", { timeout: 8 * minutes });
      await expect.poll(() => stepOf(page), { timeout: 8 * minutes }).toBeGreaterThan(1);
      await worker.evaluate("for (const device of globalThis.devices) device.destroy()");
      await page.waitForSelector("text=WebAssembly continues from the last checkpoint", {
        timeout: 2 * minutes,
      });
      expect(await setShown(page, 5 * minutes)).not.toContain("Stopped");
    },
    20 * minutes,
  );
});
