import { execFileSync } from "node:child_process";
import { readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataSet } from "../../../src/data/open-data-set.ts";
import { DataError } from "../../../src/errors.ts";
import { decodeImage } from "../../../src/images/decode.ts";
import { type DataFolder, dataFolder } from "../../support/data-folder.ts";

const cases = fileURLToPath(new URL("../../fixtures/cases", import.meta.url));
const faults = fileURLToPath(new URL("../../fixtures/faults/data", import.meta.url));
const formats = fileURLToPath(new URL("../../fixtures/formats", import.meta.url));

let root: DataFolder;
beforeEach(async () => {
  root = await dataFolder();
});
afterEach(() => root.remove());

interface Expected {
  readonly train?: number;
  readonly labels?: readonly number[];
  readonly classes?: readonly string[];
  readonly val_labels?: readonly number[];
  readonly images?: number;
}

describe("a data set as people have it", () => {
  it.each([
    ["data-cifar-py", { classes: Array.from({ length: 10 }, (_, i) => `c${i}`), train: 50 }],
    ["data-f-bmp", { classes: ["cat", "dog"], images: 12 }],
    ["data-f-macosx", {}],
    ["data-f-tiny", {}],
    ["data-pq-bool", {}],
    ["data-pq-coarse", {}],
    ["data-pq-zstd", {}],
    ["data-wds-dots", {}],
    ["data-wds-ext2", {}],
    ["data-wds-mac", {}],
    ["data-wds-pax", {}],
  ] as const)("has the images and labels of its reference: %s", async (name, own) => {
    const text = await readFile(join(cases, `${name}.expected.json`), "utf8");
    const expected: Expected = { ...(JSON.parse(text) as Expected), ...own };
    const source = await openDataSet(join(cases, name));
    const train = source.images("train");
    if (expected.classes) expect(source.classes).toEqual(expected.classes);
    if (expected.train) expect(train.length).toBe(expected.train);
    if (expected.labels) expect([...train.labels]).toEqual(expected.labels);
    if (expected.val_labels) expect([...source.images("test").labels]).toEqual(expected.val_labels);
    if (expected.images) expect(train.length + source.images("test").length).toBe(expected.images);
    for (const split of source.splits) {
      const item = source.images(split).at(0);
      const image = await decodeImage(item.id, await item.open(), item.encoding);
      expect(image.data.length).toBe(3 * image.width * image.height);
    }
  });

  it("says what it passed over", async () => {
    const notes = async (name: string) => (await openDataSet(join(cases, name))).notes.join(" ");
    expect(await notes("data-wds-mac")).toMatch(/40 entries that are no sample's .* such as \._00000\.jpg/);
    expect(await notes("data-f-macosx")).toMatch(/1 folders of systems \(__MACOSX\) were passed over/);
    expect(await notes("data-wds-ext2")).toBe("");
  });

  it("in CIFAR's pickles has the pixels of its array", async () => {
    const folder = join(cases, "data-cifar-py");
    const item = (await openDataSet(folder)).images("train").at(3);
    const whole = await readFile(join(folder, "cifar-10-batches-py/data_batch_1"));
    // As Python writes it: BINBYTES, its length, and the array's bytes, a row for each image.
    const start = whole.indexOf(Buffer.of(0x42, 0x00, 0x78, 0x00, 0x00)) + 5;
    expect(start).toBeGreaterThan(5);
    expect(Buffer.from(await item.open()).equals(whole.subarray(start + 3 * 3072, start + 4 * 3072))).toBe(
      true,
    );
  });
});

describe("parquet", () => {
  it.each(["none", "snappy", "gzip", "brotli", "zstd", "lz4", "pages-v2"])("is read in %s", async (name) => {
    const source = await openDataSet(join(formats, `${name}.parquet`));
    expect([...source.images("train").labels]).toEqual([0, 1, 2, 0, 1, 2]);
    const item = source.images("train").at(5);
    const bytes = await item.open();
    expect([...bytes.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
  });

  it.each(["rows-4e9", "rows-2p53"])(
    "that claims more rows than it has bytes is refused: %s",
    async (name) => {
      await expect(openDataSet(join(faults, name))).rejects.toThrow(/says to have \d+ rows/);
    },
  );

  it("with any byte of its end changed is read or refused, and takes no memory that it does not have", async () => {
    const whole = await readFile(join(formats, "snappy.parquet"));
    const before = process.memoryUsage().rss;
    for (let i = whole.length - 600; i < whole.length; i += 5) {
      for (const value of [0x00, 0x7f, 0xff]) {
        const changed = Buffer.from(whole);
        changed[i] = value;
        await root.files({ "set/train.parquet": changed });
        const opened = await openDataSet(join(root.path, "set")).catch((error: unknown) => error);
        if (opened instanceof Error) expect(opened).toBeInstanceOf(DataError);
      }
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 2 ** 20);
  });
});

describe("files that are not what they are called", () => {
  it("are refused before they are read: a sparse file of a terabyte", async () => {
    const names = ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"];
    await root.files(Object.fromEntries(names.map((name) => [`${name}-ubyte`, Buffer.alloc(0)])));
    for (const name of names) await truncate(join(root.path, `${name}-ubyte`), 2 ** 40);
    await expect(openDataSet(root.path)).rejects.toThrow(/magic number 0/);
  });

  it.skipIf(process.platform === "win32").each([
    ["set/train-0.tar", "set"],
    ["set/train-0.parquet", "set"],
    ["train.tar", "train.tar"],
    ["pipe", "pipe"],
    ["idx/train-labels-idx1-ubyte", "idx"],
    ["idx/train-labels-idx1-ubyte.gz", "idx"],
  ])("are refused where they are pipes, which nobody writes: %s", async (pipe, given) => {
    const empty = { "t10k-images-idx3-ubyte": "", "t10k-labels-idx1-ubyte": "" };
    const idx = { ...empty, "train-images-idx3-ubyte": "", "train-labels-idx1-ubyte": labels };
    await root.files(Object.fromEntries(Object.entries(idx).map(([name, text]) => [`idx/${name}`, text])));
    await root.files({ [pipe]: "" });
    await rm(join(root.path, pipe));
    if (pipe.endsWith(".gz")) await rm(join(root.path, pipe.slice(0, -3)));
    execFileSync("mkfifo", [join(root.path, pipe)]);
    await expect(openDataSet(join(root.path, given))).rejects.toThrow(/is a pipe, a socket or a device/);
  });

  it("are refused where one class number makes far more classes than there are images", async () => {
    const shard = ["0", "70000"].flatMap((label, i) => [
      tarEntry(`${i}.jpg`, "1"),
      tarEntry(`${i}.cls`, label),
    ]);
    await root.files({ "set/train-0.tar": Buffer.concat([...shard.flat(), Buffer.alloc(1024)]) });
    await expect(openDataSet(join(root.path, "set"))).rejects.toThrow(
      /class number 70000, which would make 70,001 classes of 2 images/,
    );
  });

  it("are refused where a shard's sample has two class numbers or is there twice", async () => {
    const tar = (...names: string[]) =>
      Buffer.concat([...names.flatMap((name) => tarEntry(name, "1")), Buffer.alloc(1024)]);
    const open = async (...names: string[]) => {
      await root.files({ "set/train-0.tar": tar(...names) });
      return openDataSet(join(root.path, "set"));
    };
    await expect(open("a.1.jpg", "a.1.cls", "a.2.cls")).rejects.toThrow(/the class numbers 1\.cls, 2\.cls/);
    await expect(open("a.x.jpg", "a.y.jpg", "a.cls")).rejects.toThrow(/the pictures x\.jpg, y\.jpg/);
    await expect(open("a.jpg", "a.jpg", "a.cls")).rejects.toThrow(/this file twice/);
    await expect(open("a.npy", "a.cls")).rejects.toThrow(/no picture that can be read.*1 files \.npy/s);
    const source = await open("a.jpg", "a.seg.png", "a.cls", "b.jpg", "b.cls", "b.json", "c.cls");
    expect(source.images("train").length).toBe(2);
    expect(source.notes.join(" ")).toMatch(
      /1 samples have more pictures than \.jpg.*\.json.*without a picture/s,
    );
  });
});

/** An IDX file of the labels 0 and 1. */
const labels = Buffer.of(0, 0, 8, 1, 0, 0, 0, 2, 0, 1);

/** A file's header and content in the ustar format. */
function tarEntry(name: string, content: string): Buffer[] {
  const header = Buffer.alloc(512);
  header.write(name);
  header.write(content.length.toString(8).padStart(11, "0"), 124);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return [header, Buffer.concat([Buffer.from(content), Buffer.alloc(512 - content.length)])];
}
