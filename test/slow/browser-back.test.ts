import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { zipSync } from "fflate";
import { beforeAll, expect, it } from "vitest";
import { answered, classified, downloaded, setShown } from "../../bench/lib/app-page.ts";
import { type Dropped, drop } from "../../bench/lib/chromium.ts";
import { shape, shapeFolder } from "../../bench/lib/shapes.ts";
import { baseline } from "../../src/index.ts";
import { writeOnnx } from "../../src/onnx-vjp/graph/write-onnx.ts";
import { describeApp } from "../support/app-in-chromium.ts";
import { writeDropped } from "../support/page-files.ts";
import { smallEncoder, smallFeatures, smallGraph, smallSide } from "../support/small-encoder.ts";

const each = 8;
const minutes = 60_000;

/** All files under a folder, as if the folder were dropped. */
async function folderToDrop(folder: string, name: string): Promise<Dropped[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return { path: `${name}/${relative(folder, path)}`, bytes: await readFile(path) };
      }),
  );
}

/** The same server by a name that browsers do not trust as they do 127.0.0.1. */
const host = "page.example";
const args = [`--host-resolver-rules=MAP ${host} 127.0.0.1`];

describeApp("what is dropped on the page in Chromium", { args }, (app) => {
  let set: Dropped[];

  beforeAll(async () => {
    app.page.on("dialog", (dialog) => void dialog.accept());
    const data = join(app.folder, "data");
    await writeDropped(data, await shapeFolder(each, 0));
    const out = join(app.folder, "set");
    await baseline({
      ...{ kind: "random", data: join(data, "shapes"), out, ipc: 2, size: 128 },
      ...{ cacheFolder: join(app.folder, "cache"), baselines: false, edits: false },
    });
    set = await folderToDrop(out, "drawings");
  }, 4 * minutes);

  it(
    "opens the folder of a set that the command line wrote, and classifies with it",
    async () => {
      const { page } = app;
      await drop(page, set);
      expect(await setShown(page, minutes)).toContain("6 synthetic images of 3 classes");
      const photo = { path: "400.png", bytes: await shape("stripes", 400) };
      expect(await classified(page, photo)).toContain("stripes");
      await page.click("text=Remove the result");
    },
    2 * minutes,
  );

  it(
    "opens its zip",
    async () => {
      const { page } = app;
      const zip = zipSync(Object.fromEntries(set.map(({ path, bytes }) => [path, new Uint8Array(bytes)])));
      await drop(page, [{ path: "drawings.zip", bytes: zip }]);
      await setShown(page, minutes);
      await page.reload();
      await setShown(page, minutes);
    },
    2 * minutes,
  );

  it(
    "says of a zip that is none what is missing",
    async () => {
      const { page } = app;
      await drop(page, [{ path: "other.zip", bytes: zipSync({ "a.txt": new Uint8Array(3) }) }]);
      await page.waitForSelector("text=holds no manifest.json", { timeout: minutes });
      await page.click("text=Dismiss");
    },
    minutes,
  );

  it(
    "makes a project of a project's file, beside the one that is there",
    async () => {
      const { page } = app;
      await page.fill("input[placeholder='Untitled project']", "Drawings");
      await page.keyboard.press("Tab");
      await drop(page, await shapeFolder(each));
      await answered(page, 3 * each);
      const bytes = await downloaded(page, "Save project to a file");
      await page.click("text=New project");
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await answered(page, 0);
      await drop(page, [{ path: "project.zip", bytes }]);
      await answered(page, 3 * each);
      await setShown(page, minutes);
      const names = await page.$$eval(".project select option", (all) => all.map((e) => e.textContent));
      expect(names.filter((name) => name === "Drawings")).toHaveLength(2);
    },
    2 * minutes,
  );

  it(
    "switches between projects and deletes one",
    async () => {
      const { page } = app;
      const count = () => page.$$eval(".project select option", (all) => all.length);
      const before = await count();
      await page.selectOption(".project select", { label: "Untitled project" });
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await answered(page, 0);
      await page.click("text=Delete project");
      await answered(page, 3 * each);
      expect(await count()).toBe(before - 1);
    },
    2 * minutes,
  );

  it(
    "starts a project with an .onnx encoder, and leaves the other as it is",
    async () => {
      const { page } = app;
      const { model } = writeOnnx(smallEncoder(smallGraph()).graph);
      await drop(page, [{ path: "tiny.onnx", bytes: model }]);
      await page.waitForSelector(`text=${smallFeatures} features of ${smallSide} × ${smallSide} px`, {
        timeout: minutes,
      });
      await page.waitForSelector("[data-ready=true]", { timeout: minutes });
      await drop(page, await shapeFolder(each));
      await answered(page, 3 * each);
      await page.selectOption(".project select", { label: "Drawings" });
      await page.waitForSelector("text=1280 features of 128 × 128 px", { timeout: minutes });
      await answered(page, 3 * each);
    },
    2 * minutes,
  );

  it(
    "says what is wrong where it is not opened by a secure address",
    async () => {
      const page = await app.browser.newPage();
      await page.goto(app.server.url.replace("127.0.0.1", host));
      await page.waitForSelector(`text=http://${host}`, { timeout: minutes });
      expect(await page.textContent("[role=status]")).toContain("Open this page by https");
      await page.close();
    },
    minutes,
  );

  it(
    "refuses a file that is not a model, in words",
    async () => {
      const { page } = app;
      await drop(page, [{ path: "broken.onnx", bytes: new Uint8Array(100).fill(7) }]);
      await page.waitForSelector("text=Something went wrong", { timeout: minutes });
      expect(app.errors).toEqual([]);
    },
    minutes,
  );
});
