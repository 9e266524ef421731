import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openEmoji } from "../../src/data/emoji.ts";
import { readEmojiArchive, writeEmojiArchive } from "../../src/data/emoji-archive.ts";
import { type EmojiIcons, emojiIconsOfPackages } from "../../src/data/emoji-icons.ts";
import { iconSets } from "../../src/data/icon-sets.ts";
import { DataError } from "../../src/errors.ts";

let folder: string;
let url: URL;
let packages: EmojiIcons;
let archive: EmojiIcons;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-emoji-"));
  url = pathToFileURL(`${folder}/`);
  packages = await emojiIconsOfPackages();
  await writeEmojiArchive(url, packages);
  archive = (await readEmojiArchive(url))!;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the archive of the emoji set", () => {
  it("has every drawing of the icon sets' packages, byte for byte, in the same order", async () => {
    expect(archive.icons).toEqual(packages.icons);
    for (const [i, icon] of packages.icons.entries()) {
      const [original, kept] = await Promise.all([packages.svg(icon), archive.svg(archive.icons[i])]);
      if (Buffer.compare(original, kept) !== 0) expect.fail(`${icon.set.id}/${icon.name} differs`);
    }
  });

  it.each(["groups", "subgroups"] as const)("makes the same data set of %s", async (granularity) => {
    const [a, b] = await Promise.all([openEmoji(granularity, packages), openEmoji(granularity, archive)]);
    expect(b.classes).toEqual(a.classes);
    for (const split of ["train", "test"] as const) {
      expect(await b.fingerprint(split)).toBe(await a.fingerprint(split));
      expect(b.images(split).labels).toEqual(a.images(split).labels);
    }
  });

  it("takes less than 6 MB", async () => {
    const sizes = (await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size);
    expect((await Promise.all(sizes)).reduce((a, b) => a + b)).toBeLessThan(6e6);
  });

  it("is not there where there is not an index", async () => {
    expect(await readEmojiArchive(new URL("absent/", url))).toBeUndefined();
  });

  it("is refused by name when it is damaged", async () => {
    const other = await mkdtemp(join(tmpdir(), "clp-dd-emoji-"));
    try {
      await writeFile(join(other, "index.json"), "{");
      const reading = readEmojiArchive(pathToFileURL(`${other}/`));
      await expect(reading).rejects.toThrow(DataError);
      await expect(reading).rejects.toThrow(other);
    } finally {
      await rm(other, { recursive: true });
    }
  });
});

it("the package's license file names every icon set with its author, its license and its source", () => {
  const file = fileURLToPath(new URL("../../models/LICENSE.emoji", import.meta.url));
  const text = readFileSync(file, "utf8");
  for (const { name, author, license, licenseUrl, url: source } of iconSets) {
    expect(text).toContain([name, author, license, licenseUrl, source].join("\n  "));
  }
});
