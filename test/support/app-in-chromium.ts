import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe } from "vitest";
import { answered } from "../../bench/lib/app-page.ts";
import { chromiumPath, drop, openApp, openBrowser } from "../../bench/lib/chromium.ts";
import { withoutChromium } from "../../bench/lib/in-chromium.ts";
import { shapeFolder, shapeKinds } from "../../bench/lib/shapes.ts";
import { type AppServer, serveApp } from "../../src/cli/app-server.ts";
import { temporaryFolder } from "../../src/files/temporary.ts";

const minutes = 60_000;

/** The page that `clp-dd app` serves, in a Chromium with its own profile. */
export interface AppInChromium {
  /** A temporary folder, for whatever a test writes. */
  readonly folder: string;
  readonly server: AppServer;
  readonly browser: BrowserContext;
  readonly page: Page;
  /** What the page has reported as errors. */
  readonly errors: readonly string[];
}

interface Options {
  /** Of Chromium's command line. */
  readonly args?: readonly string[];
  /** Drawings of each of three kinds that the page has when the tests begin. */
  readonly drawings?: number;
  /** Called before the page is opened. */
  readonly prepare?: (browser: BrowserContext) => Promise<void>;
}

/**
 * Tests of the page: it is opened before the first and closed after the last. They are skipped where there is no Chromium.
 * @param tests declares them; the fields of `app` are there once a test runs
 */
export function describeApp(title: string, options: Options, tests: (app: AppInChromium) => void): void {
  const { args = [], drawings = 0, prepare } = options;
  describe.skipIf(chromiumPath === undefined)(`${title}${withoutChromium}`, () => {
    const app = {} as { -readonly [Key in keyof AppInChromium]: AppInChromium[Key] };
    const closing: (() => Promise<void>)[] = [];
    beforeAll(async () => {
      const folder = await temporaryFolder("app");
      closing.push(() => folder.remove());
      const server = await serveApp(0);
      closing.push(() => server.close());
      const browser = await openBrowser(join(folder.path, "profile"), { args });
      closing.push(() => browser.close());
      await prepare?.(browser);
      Object.assign(app, { folder: folder.path, server, browser }, await openApp(browser, server.url));
      if (drawings === 0) return;
      await drop(app.page, await shapeFolder(drawings));
      await answered(app.page, drawings * shapeKinds.length);
    }, 4 * minutes);
    afterAll(async () => {
      for (const close of closing.reverse()) await close();
    });
    tests(app);
  });
}
