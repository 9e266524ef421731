import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { BrowserContext, Page } from "playwright-core";
import { expect, it } from "vitest";
import { answered, classified } from "../../bench/lib/app-page.ts";
import { drop } from "../../bench/lib/chromium.ts";
import { shape, shapeFolder, shapeKinds } from "../../bench/lib/shapes.ts";
import { describeApp } from "../support/app-in-chromium.ts";

const each = 14;
const minutes = 60_000;

const largestBar = (page: Page): Promise<string | null> =>
  page.$$eval(".bars li", (bars) => {
    const value = (bar: Element) => Number(bar.querySelector("meter")!.getAttribute("value"));
    return [...bars].sort((a, b) => value(b) - value(a))[0]!.querySelector("span")!.textContent;
  });

const imagesOf = (page: Page, name: string): Promise<number> =>
  page.$$eval(`[data-name=${name}] .thumbnail`, (all) => all.length);

const requests = new Set<string>();

const listen = async (browser: BrowserContext): Promise<void> => {
  browser.on("request", (request) => requests.add(new URL(request.url()).origin));
};

describeApp("the page in Chromium", { prepare: listen }, (app) => {
  it("may use threads", async () => {
    expect(await app.page.evaluate(() => crossOriginIsolated)).toBe(true);
  });

  it(
    "fills classes from a dropped folder and answers after the images",
    async () => {
      const { page } = app;
      await drop(page, await shapeFolder(each));
      await answered(page, 3 * each);
      const names = await page.$$eval("[data-name]", (all) => all.map((e) => e.getAttribute("data-name")));
      expect(names).toEqual([...shapeKinds].sort());
      const text = (await page.textContent("[data-images]"))!;
      expect(Number(/^(\d+) %/.exec(text)![1])).toBeGreaterThan(80);
    },
    2 * minutes,
  );

  it(
    "takes an image that is pasted into the class that is in use",
    async () => {
      const { page } = app;
      const before = await imagesOf(page, "square");
      await page.focus("[data-name=square] input");
      const base64 = (await shape("square", 77)).toString("base64");
      await page.evaluate((text) => {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
        document.activeElement!.dispatchEvent(
          new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
        );
      }, base64);
      await expect.poll(() => imagesOf(page, "square"), { timeout: minutes }).toBe(before + 1);
      await page.click("[data-name=square] .thumbnail >> nth=-1");
      await expect.poll(() => imagesOf(page, "square")).toBe(before);
    },
    minutes,
  );

  it(
    "classifies a dropped photo with bars, of which one is for none of the classes",
    async () => {
      const { page } = app;
      const photo = { path: "stripes.png", bytes: await shape("stripes", 303) };
      expect(await classified(page, photo)).toMatch(/stripes/);
      expect(await page.$$eval(".bars li", (bars) => bars.length)).toBe(shapeKinds.length + 1);
      expect(await largestBar(page)).toBe("stripes");
    },
    minutes,
  );

  it(
    "classifies what the camera shows, picture after picture",
    async () => {
      const { page } = app;
      await page.click("text=Use the camera");
      const number = () =>
        page.$eval("[data-number]", (element) => Number(element.getAttribute("data-number")));
      const first = await number();
      await expect.poll(number, { timeout: minutes }).toBeGreaterThan(first + 2);
      await page.click("text=Stop the camera");
      const text = (await page.textContent("[data-number]"))!;
      expect((await page.textContent(".none .number")) === "maybe").toBe(/none of these/.test(text));
    },
    minutes,
  );

  it("names files that it cannot read", async () => {
    const { page } = app;
    await drop(page, [{ path: "photo.heic", bytes: new Uint8Array(100) }], "[data-name=circle]");
    await page.waitForSelector("text=photo.heic", { timeout: minutes });
    await page.click("text=Dismiss");
  });

  it(
    "works without a network after the first visit, with everything that was there",
    async () => {
      const { page, browser, server } = app;
      await page.evaluate(async () => {
        await navigator.serviceWorker.ready;
      });
      await browser.setOffline(true);
      await server.close();
      try {
        await page.reload();
        await page.waitForSelector("[data-ready=true]", { timeout: minutes });
        await answered(page, 3 * each);
        expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      } finally {
        await browser.setOffline(false);
      }
    },
    2 * minutes,
  );

  it(
    "takes pictures for as long as a key is held",
    async () => {
      const { page } = app;
      await page.click("[data-name=circle] [aria-label='Camera for circle']");
      await page.waitForFunction(() => (document.querySelector("video")?.videoWidth ?? 0) > 0);
      await page.focus("text=Hold to record");
      await page.keyboard.down(" ");
      await page.waitForTimeout(700);
      await page.keyboard.up(" ");
      await expect
        .poll(async () => Number((await page.getAttribute("[data-images]", "data-images"))!), {
          timeout: minutes,
        })
        .toBeGreaterThanOrEqual(3 * each + 2);
      await page.click("[data-name=circle] >> text=Close");
    },
    minutes,
  );

  it(
    "can be used by keyboard alone",
    async () => {
      const { page } = app;
      const focused = () =>
        page.evaluate(
          () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent,
        );
      const tabTo = async (label: RegExp) => {
        for (let k = 0; k < 400 && !label.test((await focused()) ?? ""); k++)
          await page.keyboard.press("Tab");
        expect(await focused()).toMatch(label);
      };
      await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
      await tabTo(/^Add a class$/);
      await page.keyboard.press("Enter");
      await expect.poll(focused).toBe("Name of the class");
      await page.keyboard.type("triangle");
      await page.keyboard.press("Tab");
      await page.waitForSelector("[data-name=triangle]");
      await tabTo(/^Remove the class triangle$/);
      await page.keyboard.press("Enter");
      await expect.poll(() => page.$$eval("[data-name=triangle]", (all) => all.length)).toBe(0);
      await tabTo(/of square classified as square$/);
      await page.keyboard.press("Enter");
      await page.waitForSelector("dialog[open] img");
      await page.keyboard.press("Escape");
    },
    minutes,
  );

  it(
    "breaks no rule of axe's at 1280, 768 and 400 pixels, and is never wider than the screen",
    async () => {
      const { page } = app;
      const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
      await page.evaluate(axe);
      for (const width of [1280, 768, 400]) {
        for (const colorScheme of ["light", "dark"] as const) {
          await page.setViewportSize({ width, height: 900 });
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          const broken = await page.evaluate(async () => {
            const { axe } = globalThis as unknown as {
              axe: {
                run(): Promise<{
                  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
                }>;
              };
            };
            const { violations } = await axe.run();
            return violations.map(({ id, nodes }) => [id, nodes[0]!.html, nodes[0]!.failureSummary]);
          });
          expect(broken).toEqual([]);
          expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        }
      }
    },
    2 * minutes,
  );

  it("asked nobody but its own server, and met no error", () => {
    expect(
      [...requests].filter((origin) => origin !== new URL(app.server.url).origin && origin !== "null"),
    ).toEqual([]);
    expect(
      app.errors.filter((text) => !/ERR_INTERNET_DISCONNECTED|ERR_CONNECTION_REFUSED/.test(text)),
    ).toEqual([]);
  });
});
