import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openImageFolder } from "../../src/data/image-folder.ts";
import { classCounts, type ImageSource, type Split } from "../../src/data/image-source.ts";
import { DataError } from "../../src/errors.ts";
import { naturalSort } from "../../src/files/natural-order.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "clp-folder-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Makes files of the given names; contents are not looked at when a folder is opened. */
async function files(...names: string[]): Promise<void> {
  for (const name of names) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), name);
  }
}
function ids(source: ImageSource, split: Split): string[] {
  const images = source.images(split);
  return Array.from({ length: images.length }, (_, i) => images.at(i).id);
}
const open = (options = {}) => openImageFolder(root, options);

describe("an image folder", () => {
  it("has a class per folder and their images in natural order, nested ones too, whatever the letter case", async () => {
    await files("cat/img10.JPG", "cat/img2.jpeg", "cat/sub/a.Png", "dog/1.webp", "dog/x.SVG");
    await files("dog/.hidden.png", "cat/.cache/y.png", "cat/notes.txt", ".git/a.png");
    const source = await open({ holdout: 0 });
    expect(source.classes).toEqual(["cat", "dog"]);
    expect(source.splits).toEqual(["train"]);
    expect(ids(source, "train")).toEqual([
      "cat/img2.jpeg",
      "cat/img10.JPG",
      "cat/sub/a.Png",
      "dog/1.webp",
      "dog/x.SVG",
    ]);
    expect([...source.images("train").labels]).toEqual([0, 0, 0, 1, 1]);
    expect(source.images("train").at(4).encoding).toEqual({ kind: "svg", fixed: false });
    expect(source.images("train").at(3).encoding).toEqual({ kind: "raster" });
    expect(source.notes).toEqual([]);
  });

  it("gives the bytes of an image", async () => {
    await files("a/1.png", "b/1.png");
    const item = (await open({ holdout: 0 })).images("train").at(1);
    expect(new TextDecoder().decode(await item.open())).toBe("b/1.png");
    expect(item.file?.path).toBe(join(root, "b/1.png"));
    await rm(join(root, "b/1.png"));
    await expect(item.open()).rejects.toThrow(/b\/1\.png cannot be read/);
  });

  it("reads train, val and test folders, and says what it passed over", async () => {
    await files(
      "train/a/1.png",
      "train/b/1.png",
      "val/a/2.png",
      "val/b/2.png",
      "test/a/3.png",
      "test/b/3.png",
    );
    await files("annotations/x.json");
    const source = await open();
    expect(source.splits).toEqual(["train", "val", "test"]);
    expect(ids(source, "val")).toEqual(["a/2.png", "b/2.png"]);
    expect(ids(source, "test")).toEqual(["a/3.png", "b/3.png"]);
    expect(source.notes.join()).toMatch(/annotations was passed over/);
  });

  it("takes val as the test split where there is no test folder", async () => {
    await files("train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png");
    const source = await open();
    expect(source.splits).toEqual(["train", "test"]);
    expect(ids(source, "test")).toEqual(["a/2.png", "b/2.png"]);
    expect(source.notes.join()).toMatch(/val is the test split/);
    expect(() => source.images("val")).toThrow(/no val split; it has train and test/);
  });

  it.each([
    ["Train", "Test"],
    ["training", "testing"],
    ["training", "validation"],
    ["train", "Test"],
    ["TRAIN", "dev"],
  ])("knows %s and %s for splits", async (train, test) => {
    await files(`${train}/a/1.png`, `${train}/b/1.png`, `${test}/a/2.png`, `${test}/b/2.png`);
    const source = await open();
    expect(source.classes).toEqual(["a", "b"]);
    expect(ids(source, "train")).toEqual(["a/1.png", "b/1.png"]);
    expect(ids(source, "test")).toEqual(["a/2.png", "b/2.png"]);
    expect(source.images("test").at(0).file?.path).toBe(join(root, test, "a/2.png"));
  });

  it("takes one folder for each split, and says which it passed over", async () => {
    const folders = ["train", "Train", "validation", "val", "test"];
    await files(...folders.flatMap((folder) => [`${folder}/a/${folder}.png`, `${folder}/b/1.png`]));
    const source = await open();
    expect(ids(source, "train")).toEqual(["a/train.png", "b/1.png"]);
    expect(ids(source, "val")).toEqual(["a/val.png", "b/1.png"]);
    expect(source.notes.join()).toMatch(/beside the splits, Train and validation was passed over/);
  });

  it.each([[["train", "plane", "car"]], [["test", "validation", "rehearsal"]], [["Training", "cooking"]]])(
    "reads classes called %j as classes",
    async (names) => {
      await files(...names.map((name) => `${name}/1.png`));
      expect((await open({ holdout: 0 })).classes).toEqual([...names].sort());
    },
  );

  it("reads classes called train and test as classes among others, and says so", async () => {
    await files("Testing/1.png", "Training/1.png", "cooking/1.png");
    const source = await open({ holdout: 0 });
    expect(source.classes).toEqual(["Testing", "Training", "cooking"]);
    expect(source.notes.join()).toMatch(/Training and Testing were read as classes, since Training holds no/);
    // What is beside them holds no images, and so is not a class.
    await rm(join(root, "cooking/1.png"));
    await expect(open()).rejects.toThrow(/Training holds 1 images but no folders/);
  });

  it("follows links to files and folders, and passes over cycles and dead links", async () => {
    await files("a/1.png", "b/1.png", "elsewhere/deep/2.png", "elsewhere/3.png");
    await rename(join(root, "elsewhere"), join(root, ".elsewhere"));
    await symlink(join(root, ".elsewhere"), join(root, "b", "linked"));
    await symlink(join(root, "b"), join(root, "b", "loop"));
    await symlink(join(root, "gone.png"), join(root, "b", "dead.png"));
    const source = await open({ holdout: 0 });
    expect(ids(source, "train")).toEqual(["a/1.png", "b/1.png", "b/linked/3.png", "b/linked/deep/2.png"]);
    expect(source.notes.join()).toMatch(/2 links that lead nowhere or back/);
  });

  it.skipIf(process.platform === "win32")(
    "says of pipes among the images that they are passed over",
    async () => {
      await files("a/1.png", "b/1.png");
      execFileSync("mkfifo", [join(root, "b", "2.png")]);
      const source = await open({ holdout: 0 });
      expect(ids(source, "train")).toEqual(["a/1.png", "b/1.png"]);
      expect(source.notes.join()).toMatch(/1 pipes, sockets or devices in place of images were passed over/);
    },
  );

  it("says which image files it cannot read", async () => {
    await files("a/1.png", "b/1.png", "b/2.heic", "b/3.HEIC");
    expect((await open({ holdout: 0 })).notes.join()).toMatch(/2 \.heic files were passed over/);
  });
});

describe("holding out a test split", () => {
  const names = (label: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${label}/${i}.png`);

  it("takes the share of every class, the same for the same seed, and says so", async () => {
    await files(...names("a", 20), ...names("b", 10), ...names("c", 2));
    const source = await open();
    expect([...classCounts(source, "test")]).toEqual([4, 2, 1]);
    expect([...classCounts(source, "train")]).toEqual([16, 8, 1]);
    const all = [...ids(source, "train"), ...ids(source, "test")].sort();
    expect(all).toEqual([...names("a", 20), ...names("b", 10), ...names("c", 2)].sort());
    expect(source.notes.join()).toMatch(/7 of 32 images, 20 % of each class, are held out.*seed 0/);
    expect(ids(await open(), "test")).toEqual(ids(source, "test"));
    expect(ids(await open({ seed: 1 }), "test")).not.toEqual(ids(source, "test"));
    expect([...classCounts(await open({ holdout: 0.5 }), "test")]).toEqual([10, 5, 1]);
  });

  it("keeps what was held out when another class is added", async () => {
    await files(...names("a", 20), ...names("b", 20));
    const before = ids(await open(), "test");
    await files(...names("aa", 20));
    const after = ids(await open(), "test").filter((id) => !id.startsWith("aa/"));
    expect(after).toEqual(before);
  });

  it("refuses classes of one image, naming them, with what can be done", async () => {
    await files("a/1.png", "b/1.png", "b/2.png");
    const advice = "Add images, or give a test folder.";
    await expect(open()).rejects.toThrow(`at least two of each class, but a has one. ${advice}`);
    await files("c/1.png");
    await expect(open()).rejects.toThrow(`but a and c have one. ${advice}`);
  });
});

describe("a folder that cannot be a data set", () => {
  it.each([
    ["does not exist", [], "missing", /missing cannot be read/],
    ["is a file", ["file.png"], "file.png", /is a file\. Give the folder/],
    ["is empty", [], "", /is empty: expected one folder per class/],
    ["holds loose images", ["1.png", "2.png"], "", /holds 2 images but no folders/],
    ["holds one class", ["a/1.png", "a/2.png"], "", /a single class, a; a classifier needs at least two/],
    ["has a class with no image", ["a/1.png", "b/readme.txt", "c/d/.x.png"], "", /b and c have no image/],
    [
      "has only unreadable formats in a class",
      ["a/1.png", "b/1.heic"],
      "",
      /b has no image.*\.heic files cannot/,
    ],
    [
      "has other classes in train than in test",
      ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"],
      "",
      /b only in train and c only in test/,
    ],
    ["has an empty test folder", ["train/a/1.png", "train/b/1.png", "test/x.txt"], "", /test is empty/],
  ])("is refused when it %s", async (_, names, path, message) => {
    await files(...names);
    const opening = openImageFolder(join(root, path));
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toBeInstanceOf(DataError);
  });
});

describe("the fingerprint of a folder", () => {
  it("is the same for a copy, and changes with a name, a label, a size or a split", async () => {
    const content = ["a/1.png", "a/2.png", "a/5.png", "b/1.png", "b/2.png"];
    await files(...content);
    const print = async () => (await open({ holdout: 0 })).fingerprint("train");
    const first = await print();
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    const copy = root;
    root = await mkdtemp(join(tmpdir(), "clp-folder-"));
    await files(...content);
    expect(await print()).toBe(first);
    await rm(copy, { recursive: true });

    await rename(join(root, "a/1.png"), join(root, "a/0.png"));
    const renamed = await print();
    await rename(join(root, "a/0.png"), join(root, "b/3.png"));
    const moved = await print();
    await writeFile(join(root, "a/2.png"), "longer than it was");
    const grown = await print();
    expect(new Set([first, renamed, moved, grown]).size).toBe(4);

    const halves = await open({ holdout: 0.5 });
    expect(await halves.fingerprint("train")).not.toBe(await halves.fingerprint("test"));
  });
});

describe("asking for a fingerprint", () => {
  it("looks at the files once, and gives what it always gave", async () => {
    await files("a/1.png", "b/1.png", "b/20.png");
    const source = await open({ holdout: 0 });
    const digest = createHash("sha256").update('["image folder, names and sizes",["a","b"]]');
    digest.update('["a/1.png",0,7]').update('["b/1.png",1,7]').update('["b/20.png",1,8]');
    const expected = digest.digest("hex");
    expect(await source.fingerprint("train")).toBe(expected);
    await rm(join(root, "b/1.png"));
    expect(await source.fingerprint("train")).toBe(expected);
    await expect(source.fingerprint("test")).rejects.toThrow(/no test split/);
  });
});

describe("natural order", () => {
  it("counts digits as numbers", () => {
    expect(naturalSort(["b", "a10", "a2", "a02", "10", "9", "a"])).toEqual([
      "9",
      "10",
      "a",
      "a02",
      "a2",
      "a10",
      "b",
    ]);
  });

  it("does not depend on the order given", () => {
    const name = fc.string({ unit: fc.constantFrom("0", "1", "2", "a", "B", "."), maxLength: 8 });
    fc.assert(
      fc.property(fc.uniqueArray(name), (names) => {
        expect(naturalSort([...names].reverse())).toEqual(naturalSort(names));
        expect(naturalSort([...names].sort())).toEqual(naturalSort(names));
      }),
    );
  });
});
