import { readFile, rm, truncate } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataSet } from "../../../src/data/open-data-set.ts";
import { dataSets } from "../../../src/data/sets/catalogue.ts";
import { parseHubId } from "../../../src/data/sets/hub-data.ts";
import { imagenetSubsets } from "../../../src/data/sets/imagenet-subsets.ts";
import { folderOf } from "../../../src/data/sets/open-named.ts";
import { splitOfPath } from "../../../src/data/split-name.ts";
import { DataError, DownloadError, UsageError } from "../../../src/errors.ts";
import { type HubAccess, hubAccess } from "../../../src/files/hub/settings.ts";
import { safePath, wholeNumber } from "../../../src/files/text-files.ts";
import { type DataFolder, dataFixture, dataFolder } from "../../support/data-folder.ts";
import { type HubServer, type ServedRepository, startHub } from "../../support/hub-server.ts";

let root: DataFolder;
beforeEach(async () => {
  root = await dataFolder();
});
afterEach(() => root.remove());

describe("the table of data sets", () => {
  it("has names that are their own, and lines that fit a terminal", () => {
    expect(new Set(dataSets.map(({ name }) => name)).size).toBe(dataSets.length);
    for (const { name, layout } of dataSets) {
      for (const line of layout) expect(line.length, `${name}: ${line}`).toBeLessThanOrEqual(76);
    }
  });

  it("says of every set that is not there where it is from and how it must lie", async () => {
    for (const { name, page, layout } of dataSets) {
      for (const text of [`${name}:${root.path}`, `${name}:${join(root.path, "no such folder")}`]) {
        const opened = openDataSet(text);
        await expect(opened, text).rejects.toThrow(DataError);
        await expect(opened, text).rejects.toThrow(page);
        await expect(opened, text).rejects.toThrow(layout[0]);
      }
    }
  });

  it("has subsets of ImageNet with as many ids as they say, each an id and none twice", () => {
    for (const [name, ids] of Object.entries(imagenetSubsets)) {
      expect(ids.length, name).toBe(name === "imagenet-100" ? 100 : 10);
      expect(new Set(ids).size, name).toBe(ids.length);
      expect([...ids].sort(), name).toEqual(ids);
      for (const id of ids) expect(id).toMatch(/^n\d{8}$/);
    }
  });
});

describe("naming a data set", () => {
  it("says how to go on when a name has no place, or is not known", async () => {
    await expect(openDataSet("cub-200")).rejects.toThrow(/give cub-200:PATH[\s\S]*images\.txt/);
    const unknown = openDataSet("cub200:/data");
    await expect(unknown).rejects.toThrow(UsageError);
    await expect(unknown).rejects.toThrow(/no data set "cub200".*clp-dd datasets/);
    await expect(openDataSet(join(root.path, "gone"))).rejects.toThrow(/cannot be read.*folder of images/);
  });

  it("reads a folder that lies like none of them as an image folder", async () => {
    await root.files([
      "train/a/1.png",
      "train/b/1.png",
      "test/a/2.png",
      "test/b/2.png",
      "metadata.csv",
      "notes.tar.gz",
    ]);
    expect((await openDataSet(root.path)).classes).toEqual(["a", "b"]);
    await expect(openDataSet(join(root.path, "train/a/1.png"))).rejects.toThrow(
      /is a file\. Give a folder of images/,
    );
  });

  const images = (...folders: string[]) => folders.flatMap((name) => [`${name}/1.png`, `${name}/2.png`]);

  it.each([
    ["parquet file", "metadata.parquet", "plain.parquet"],
    ["archive", "photos.tar", "set-test-000.tar"],
    ["archive in a class's folder", "dog/photos.tar", "set-test-000.tar"],
  ])("reads an image folder as one though a stray %s lies in it, and says so", async (_, path, fixture) => {
    await root.files(images("bird", "cat", "dog"));
    await root.files({ [path]: await readFile(dataFixture(fixture)) });
    const source = await openDataSet(root.path);
    expect(source.classes).toEqual(["bird", "cat", "dog"]);
    expect(source.images("train").length + source.images("test").length).toBe(6);
    expect(source.notes.join()).toContain(`${path} beside them was passed over`);
  });

  it("reads ImageNet's class folders beside the archives they were unpacked from", async () => {
    await root.files(images("train/n01440764", "train/n02102040", "val/n01440764", "val/n02102040"));
    await root.files(["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"]);
    const source = await openDataSet(root.path);
    expect(source.classes).toEqual(["n01440764", "n02102040"]);
    expect(source.splits).toEqual(["train", "test"]);
    expect(source.notes.join()).toMatch(/ILSVRC2012_img_train\.tar and ILSVRC2012_img_val\.tar beside them/);
  });

  it("does not take a class without images for shards", async () => {
    await root.files([...images("bird", "cat"), "dog/notes.txt"]);
    await root.files({ "metadata.parquet": await readFile(dataFixture("plain.parquet")) });
    await expect(openDataSet(root.path)).rejects.toThrow(/dog has no image/);
  });

  it("reads parquet files though pictures of the set lie beside them", async () => {
    await root.files(images("assets", "figures"));
    await root.files({ "data/train.parquet": await readFile(dataFixture("plain.parquet")) });
    expect((await openDataSet(root.path)).classes).toEqual(["a", "b"]);
  });

  it("reads an image folder whose metadata.csv is longer than a text may be, or a folder", async () => {
    await root.files([...images("bird", "cat"), "metadata.csv"]);
    await truncate(join(root.path, "metadata.csv"), 600 * 2 ** 20);
    expect((await openDataSet(root.path)).classes).toEqual(["bird", "cat"]);
    await rm(join(root.path, "metadata.csv"));
    await root.files(images("metadata.csv"));
    expect((await openDataSet(root.path)).classes).toEqual(["bird", "cat", "metadata.csv"]);
  });

  it("knows the folder that nothing must be written into", () => {
    expect(folderOf("cub-200:/data/cub")).toBe("/data/cub");
    expect(folderOf("/data/photos")).toBe("/data/photos");
    expect(folderOf("hf:owner/name")).toBeUndefined();
    expect(folderOf("waterbirds")).toBeUndefined();
  });
});

describe("a path's split", () => {
  it.each([
    ["train-00000-of-00002.parquet", "train"],
    ["data/validation-00000-of-00001-abc.parquet", "val"],
    ["default/test/0000.parquet", "test"],
    ["imagenet1k-train-0001.tar", "train"],
    ["val/00001.tar", "val"],
    ["test/train-1.tar", "train"],
    ["contest/0001.tar", undefined],
    ["Testing/0001.tar", "test"],
    ["constructor/0.tar", undefined],
  ])("of %s is %s", (path, split) => expect(splitOfPath(path)).toBe(split));
});

describe("values from a data set's files", () => {
  it("are paths that stay in their folder, or errors", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("..", ".", "", "a", "b.jpg", "~", "c:", "..."), {
          minLength: 1,
          maxLength: 6,
        }),
        (parts) => {
          let safe: string;
          try {
            safe = safePath(parts.join("/"), "here");
          } catch (error) {
            expect(error).toBeInstanceOf(DataError);
            return;
          }
          const base = "/data/set";
          expect(join(base, safe).startsWith(`${base}/`)).toBe(true);
          expect(join(base, safe)).toBe(join(base, parts.join("/")).replace(/\/$/, ""));
        },
      ),
    );
    for (const path of ["a\\..\\b", "C:\\x", "a\0b", "/a", "~/a", "..", "a/../../b"]) {
      expect(() => safePath(path, "here"), path).toThrow(/leads out of/);
    }
  });

  it("are whole numbers in range, or errors", () => {
    expect(wholeNumber(" 7 ", 0, 8, "class", "here")).toBe(7);
    expect(wholeNumber("7.0", 0, 8, "class", "here")).toBe(7);
    for (const text of ["8", "-1", "7.5", "1e0", "", "seven", "0x1"]) {
      expect(() => wholeNumber(text, 0, 8, "class", "here"), text).toThrow(
        /^here: the class ".*" is not one of 0 to 7/,
      );
    }
    // What a file holds must not reach a terminal as it is.
    expect(() => wholeNumber("\u001b[31m", 0, 8, "class", "here")).toThrow('"?[31m"');
  });
});

describe("data sets of the hub", () => {
  it("are named owner/name, a folder and a revision", () => {
    expect(parseHubId("ylecun/mnist")).toEqual({ id: "ylecun/mnist", folder: "", revision: undefined });
    expect(parseHubId("a/b.c-d/plain_text/x@refs/pr/1")).toEqual({
      id: "a/b.c-d",
      folder: "plain_text/x",
      revision: "refs/pr/1",
    });
    for (const text of ["mnist", "../x", "a/..", "a/b/../c", ""])
      expect(() => parseHubId(text), text).toThrow();
  });

  let hub: HubServer;
  let reach: { access: HubAccess };
  beforeEach(async () => {
    hub = await startHub({});
    reach = { access: hubAccess({ HF_ENDPOINT: hub.url, HF_HOME: root.path }, "/nobody") };
  });
  afterEach(() => hub.close());
  const serve = (files: ServedRepository["files"], revisions?: ServedRepository["revisions"]) =>
    hub.repositories.set("owner/set", { commit: "c".repeat(40), files, ...(revisions ? { revisions } : {}) });

  it("are downloaded once, read as parquet, and then need no network", async () => {
    const names = ["train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"];
    const files: Record<string, Uint8Array | string> = { "README.md": "# A set" };
    for (const name of names) files[`data/${name}.parquet`] = await readFile(dataFixture(`${name}.parquet`));
    serve(files);
    // The first transfer breaks off.
    hub.faults.set("data/train-00000-of-00002.parquet", [{ cutAfter: 1000 }]);
    const source = await openDataSet("hf:owner/set", reach);
    expect(source.name).toBe("hf:owner/set");
    expect([...source.images("train").labels]).toEqual([0, 1, 2, 2, 1, 0, 1, 2, 0]);
    expect((await source.images("test").at(0).open()).length).toBeGreaterThan(50);
    expect(hub.log.filter((line) => line.startsWith("storage data/train-00000-of-00002")).length).toBe(2);
    const asked = hub.log.length;
    const offline = { access: { ...reach.access, offline: true } };
    const again = await openDataSet("hf:owner/set", offline);
    expect(await again.fingerprint("train")).toBe(await source.fingerprint("train"));
    expect(hub.log.length).toBe(asked);
    await expect(openDataSet("hf:owner/other", offline)).rejects.toThrow(/HF_HUB_OFFLINE.*give the folder/);
  });

  it("are taken from the hub's own conversion where they have no parquet files", async () => {
    const parquet = await readFile(dataFixture("plain.parquet"));
    const conversion = { commit: "d".repeat(40), files: { "default/train/0000.parquet": parquet } };
    serve({ "images.zip": "x" }, { "refs/convert/parquet": conversion });
    expect((await openDataSet("hf:owner/set", reach)).classes).toEqual(["a", "b"]);
  });

  it("with several configurations want one of them named", async () => {
    const parquet = await readFile(dataFixture("plain.parquet"));
    serve({ "one/train/0.parquet": parquet, "two/train/0.parquet": parquet });
    await expect(openDataSet("hf:owner/set", reach)).rejects.toThrow(/several configurations: one, two/);
    expect((await openDataSet("hf:owner/set/two", reach)).classes).toEqual(["a", "b"]);
  });

  it("may have their splits in folders of whatever name a split has", async () => {
    const parquet = await readFile(dataFixture("plain.parquet"));
    serve({ "one/training/0.parquet": parquet, "one/Testing/0.parquet": parquet });
    expect((await openDataSet("hf:owner/set", reach)).splits.toSorted()).toEqual(["test", "train"]);
  });

  it("behind a login page say that no hub answers, and what to check", async () => {
    const page = createServer((_, response) => response.end("<html>Log in to the network</html>"));
    await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
    const hubUrl = `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
    try {
      const opened = openDataSet("hf:owner/set", { access: { ...reach.access, hubUrl } });
      await expect(opened).rejects.toThrow(DownloadError);
      await expect(opened).rejects.toThrow(
        /hf:owner\/set cannot be understood.*Is it a hub\? Check HF_ENDPOINT/,
      );
    } finally {
      page.closeAllConnections();
      page.close();
    }
  });

  it("that cannot be reached, or have no parquet, say what to do", async () => {
    serve({ "a.csv": "1" });
    await expect(openDataSet("hf:owner/set", reach)).rejects.toThrow(/has no parquet files/);
    await expect(openDataSet("hf:owner/none", reach)).rejects.toThrow(/no repository datasets\/owner\/none/);
    const nowhere = { access: { ...reach.access, hubUrl: "http://127.0.0.1:9" } };
    const refused = openDataSet("hf:owner/set", nowhere);
    await expect(refused).rejects.toThrow(DownloadError);
    await expect(refused).rejects.toThrow(/cannot be reached.*Download its \.parquet files from/);
    await expect(openDataSet("hf:owner/set")).rejects.toThrow(/cannot be named here/);
  });
});
