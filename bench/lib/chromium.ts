import { existsSync } from "node:fs";
import { type BrowserContext, chromium, type Page } from "playwright-core";

/** Where systems and Playwright's own installer put a Chromium. */
const usualPlaces = [
  process.env.CHROMIUM ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** The path of a Chromium; undefined where none is found. */
export const chromiumPath: string | undefined = [...usualPlaces, chromium.executablePath()].find(
  (path) => path !== "" && existsSync(path),
);

if (chromiumPath === undefined) {
  console.warn(
    "No Chromium was found: the page's tests are skipped. Install one (`apt-get install chromium`), or name one with CHROMIUM.",
  );
}

/** A browser with a profile of its own in `folder`; its camera shows a test pattern. */
export const openBrowser = (
  folder: string,
  options: { readonly width?: number; readonly args?: readonly string[] } = {},
): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, {
    executablePath: chromiumPath!,
    headless: true,
    viewport: { width: options.width ?? 1280, height: 900 },
    acceptDownloads: true,
    args: [
      "--no-sandbox",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      "--disable-features=Translate",
      ...(options.args ?? []),
    ],
  });

/** Opens the page and waits until its encoder is ready; what it logs as an error fails the test later. */
export async function openApp(
  browser: BrowserContext,
  url: string,
): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage();
  // Dialogs of the system's cannot be answered by a script; without them the page uses inputs and downloads.
  await page.addInitScript(() => {
    for (const name of ["showOpenFilePicker", "showSaveFilePicker", "showDirectoryPicker"]) {
      Reflect.deleteProperty(window, name);
    }
  });
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector("[data-ready=true]", { timeout: 60_000 });
  return { page, errors };
}

/** A file to drop, with its path in the folder that is dropped. */
export interface Dropped {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * Drops files on the page. Folders cannot be made by a script: their entries are stood in for by objects of the same form,
 * with real files in them.
 */
export async function drop(page: Page, files: readonly Dropped[], selector = "main"): Promise<void> {
  const plain = files.map(({ path, bytes }) => ({ path, base64: Buffer.from(bytes).toString("base64") }));
  await page.evaluate(
    ({ plain, selector }) => {
      const tree = new Map<string, unknown[]>([["", []]]);
      const folderOf = (path: string): unknown[] => {
        const known = tree.get(path);
        if (known) return known;
        const inside: unknown[] = [];
        tree.set(path, inside);
        const cut = path.lastIndexOf("/");
        const name = path.slice(cut + 1);
        folderOf(cut < 0 ? "" : path.slice(0, cut)).push({
          name,
          isFile: false,
          isDirectory: true,
          createReader: () => {
            const left = [...inside];
            return { readEntries: (done: (some: unknown[]) => void) => done(left.splice(0, 100)) };
          },
        });
        return inside;
      };
      for (const { path, base64 } of plain) {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const cut = path.lastIndexOf("/");
        const name = path.slice(cut + 1);
        const type = /\.(png|jpe?g|webp)$/.exec(name)
          ? `image/${name.split(".").at(-1)!.replace("jpg", "jpeg")}`
          : "";
        const file = new File([bytes], name, { type });
        folderOf(cut < 0 ? "" : path.slice(0, cut)).push({
          name,
          isFile: true,
          isDirectory: false,
          file: (done: (file: File) => void) => done(file),
        });
      }
      const event = new Event("drop", { bubbles: true, cancelable: true });
      const items = tree.get("")!.map((entry) => ({ kind: "file", webkitGetAsEntry: () => entry }));
      Object.assign(event, { dataTransfer: { items, types: ["Files"] } });
      document.querySelector(selector)!.dispatchEvent(event);
    },
    { plain, selector },
  );
}
