import { existsSync } from "node:fs";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageBatches } from "../../../src/data/decode-pool.ts";
import { classCounts, type ImageSource, type Split } from "../../../src/data/image-source.ts";
import { type MatArray, readMat } from "../../../src/data/sets/mat.ts";
import { openNamed } from "../../../src/data/sets/open-named.ts";
import { DataError } from "../../../src/errors.ts";
import { inputBytes, Preprocessing } from "../../../src/images/preprocess.ts";
import { type DataFolder, dataFixture, dataFolder, listing } from "../../support/data-folder.ts";

let root: DataFolder;
beforeEach(async () => {
  root = await dataFolder();
});
afterEach(() => root.remove());

const fixtures = async (...names: string[]) => {
  for (const name of names) await copyFile(dataFixture(name), join(root.path, name));
};

/** The first pixel of every image of a split, as the decoding threads give it. */
async function firstPixels(source: ImageSource, split: Split, edge: number): Promise<number[][]> {
  const preprocessing = Preprocessing.parse({
    resize: null,
    crop: [edge, edge],
    interpolation: "bilinear",
    mean: [0, 0, 0],
    std: [1, 1, 1],
  });
  const size = inputBytes(preprocessing);
  const found: number[][] = [];
  for await (const { pixels, indices } of imageBatches(source, split, preprocessing, { batchSize: 2 })) {
    for (let i = 0; i < indices.length; i++) {
      found.push([0, 1, 2].map((channel) => pixels[i * size + channel * edge * edge]));
    }
  }
  return found;
}
/** What the fixtures' images are painted with. */
const painted = (labels: Int32Array) => Array.from(labels, (label) => [50 * label, 100, 200]);

describe("MAT-files", () => {
  it("gives every kind of numbers, columns first", async () => {
    const variables = await readMat(dataFixture("numbers.mat"));
    expect(variables.size).toBe(10);
    for (const array of variables.values()) {
      expect(array).toEqual({ kind: "numbers", dims: [2, 2], numbers: Float64Array.of(1, 3, 2, 100) });
    }
  });

  it("gives structs with texts", async () => {
    const synsets = (await readMat(dataFixture("meta.mat"))).get("synsets") as Extract<
      MatArray,
      { kind: "structs" }
    >;
    const texts = synsets.structs.map((row) => row.get("words"));
    expect(texts).toEqual(
      ["kit fox", "English setter", "tench, Tinca tinca"].map((text) => ({
        kind: "text",
        dims: [1, text.length],
        text,
      })),
    );
  });

  it("refuses what is truncated, damaged, of another version or no MAT-file", async () => {
    const whole = await readFile(dataFixture("test_list.mat"));
    const hdf = Buffer.from(whole);
    hdf.writeUInt16LE(0x0200, 124);
    const damaged = Buffer.from(await readFile(dataFixture("train_list.mat")));
    damaged.fill(7, 150, 170);
    await root.files({
      "short.mat": whole.subarray(0, 100),
      "cut.mat": whole.subarray(0, whole.length - 40),
      "hdf.mat": hdf,
      "damaged.mat": damaged,
      "text.mat": "no MAT-file ".repeat(20),
    });
    const read = (name: string) => readMat(join(root.path, name));
    await expect(read("short.mat")).rejects.toThrow(/has 100 bytes/);
    await expect(read("cut.mat")).rejects.toThrow(/truncated/);
    await expect(read("hdf.mat")).rejects.toThrow(/version 7\.3/);
    await expect(read("damaged.mat")).rejects.toThrow(DataError);
    await expect(read("text.mat")).rejects.toThrow(/is not a MAT-file/);
  });
});

describe("damaged files", () => {
  it.each(["numbers.mat", "meta.mat", "test_list.mat", "set-train-000.tar", "plain.parquet"])(
    "of %s are read or refused, whatever bytes are changed",
    async (name) => {
      const whole = await readFile(dataFixture(name));
      const path = join(root.path, `damaged${extname(name)}`);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
          fc.option(fc.nat(whole.length)),
          async (changes, length) => {
            const bytes = Buffer.from(whole);
            for (const [at, value] of changes) bytes[at] = value;
            await writeFile(path, bytes.subarray(0, length ?? bytes.length));
            try {
              if (name.endsWith(".mat")) await readMat(path);
              else await openNamed(path);
            } catch (error) {
              expect(error).toBeInstanceOf(DataError);
            }
          },
        ),
        { numRuns: 150 },
      );
    },
    60_000,
  );
});

describe("WebDataset shards", () => {
  const shards = ["set-train-000.tar", "set-train-001.tar", "set-test-000.tar"];

  it("are indexed by split, with long names in either form, and read by range", async () => {
    await fixtures(...shards);
    const source = await openNamed(root.path);
    const far = "folder/".repeat(20);
    expect(listing(source, "train")).toEqual([
      "set-train-000.tar/a/0001 1",
      "set-train-000.tar/a/0002 0",
      `set-train-000.tar/${far}ü 2`,
      `set-train-001.tar/${far}3 2`,
    ]);
    expect(listing(source, "test")).toEqual(["set-test-000.tar/9 1"]);
    expect(source.classes).toEqual(["0", "1", "2"]);
    for (const split of source.splits) {
      expect(await firstPixels(source, split, 4)).toEqual(painted(source.images(split).labels));
    }
    const own = await source.images("train").at(0).open();
    expect([...own.subarray(1, 4)]).toEqual([..."PNG"].map((c) => c.charCodeAt(0)));
  });

  it("take class names from classnames.txt, which must have enough", async () => {
    await fixtures(...shards);
    await root.files({ "classnames.txt": "zero\none\ntwo\n" });
    expect((await openNamed(root.path)).classes).toEqual(["zero", "one", "two"]);
    await root.files({ "classnames.txt": "zero\none\n" });
    await expect(openNamed(root.path)).rejects.toThrow(
      /has the class 2, but classnames\.txt names 2 classes/,
    );
  });

  it("may be one file", async () => {
    await fixtures(shards[0]);
    const source = await openNamed(join(root.path, shards[0]));
    expect(source.splits).toEqual(["train"]);
    expect([...classCounts(source, "train")]).toEqual([1, 1, 1]);
  });

  it("are refused when truncated, damaged, compressed, or with paths that leave the folder", async () => {
    const whole = await readFile(dataFixture("set-test-000.tar"));
    const changed = (change: (bytes: Buffer) => void) => {
      const bytes = Buffer.from(whole);
      change(bytes);
      return bytes;
    };
    /** Writes a name into a header and its checksum anew. */
    const renamed = (name: string) =>
      changed((bytes) => {
        bytes.fill(0, 0, 100).write(name, 0);
        bytes.fill(32, 148, 156);
        const sum = bytes.subarray(0, 512).reduce((a, b) => a + b, 0);
        bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      });
    const refused = async (bytes: Buffer, message: RegExp) => {
      await root.files({ "s.tar": bytes });
      const opened = openNamed(join(root.path, "s.tar"));
      await expect(opened).rejects.toThrow(DataError);
      await expect(opened).rejects.toThrow(message);
    };
    await refused(whole.subarray(0, 560), /is truncated: the file at byte 0/);
    await refused(whole.subarray(0, 1600), /truncated/);
    await refused(
      changed((bytes) => bytes.fill(65, 10, 20)),
      /no file header at byte 0/,
    );
    await refused(gzipSync(whole), /must be unpacked first/);
    await refused(renamed("../../9.png"), /leads out of/);
    await refused(renamed("/9.png"), /leads out of/);
    // The image is now another sample than its class number.
    await refused(renamed("8.png"), /the image "8" has no 8\.cls beside it/);
    await refused(
      changed((bytes) => bytes.write("x", 512 * 3)),
      /the class "x" is not one of/,
    );
  });
});

describe("parquet image sets", () => {
  const files = [
    "train-00000-of-00002",
    "train-00001-of-00002",
    "validation-00000-of-00001",
    "test-00000-of-00001",
  ];

  it("are read by row group, with the class names that `datasets` wrote", async () => {
    await fixtures(...files.map((name) => `${name}.parquet`));
    const source = await openNamed(root.path);
    expect(source.classes).toEqual(["red", "green", "blue"]);
    expect([...source.images("train").labels]).toEqual([0, 1, 2, 2, 1, 0, 1, 2, 0]);
    // The test images have no labels: validation takes their place.
    expect([...source.images("test").labels]).toEqual([1, 2, 0]);
    expect(source.notes.join()).toMatch(/test images have no labels[\s\S]*validation is the test split/);
    for (const split of source.splits) {
      expect(await firstPixels(source, split, 4)).toEqual(painted(source.images(split).labels));
    }
    // Out of order too: each from another row group.
    for (const index of [8, 0, 6, 3, 8]) {
      const item = source.images("train").at(index);
      expect((await item.open()).length).toBeGreaterThan(50);
    }
    expect(source.images("train").at(7).id).toBe("train-00001-of-00002.parquet/0");
    const fingerprint = await source.fingerprint("train");
    expect(await (await openNamed(root.path)).fingerprint("train")).toBe(fingerprint);
    expect(await source.fingerprint("test")).not.toBe(fingerprint);
  });

  /** A fixture with other class names, as long as its own: they are text in the footer. */
  const withNames = async (file: string, ...names: string[]) => {
    const text = (await readFile(dataFixture(`${file}.parquet`))).toString("latin1");
    const other = text.replace('["red", "green", "blue"]', JSON.stringify(names).replaceAll(",", ", "));
    expect(other.length).toBe(text.length);
    await root.files({ [`${file}.parquet`]: Buffer.from(other, "latin1") });
  };

  it("are labeled by each file's own class names, in whatever order they are", async () => {
    await fixtures(`${files[0]}.parquet`, `${files[2]}.parquet`);
    // Its labels are 2 and 0.
    await withNames(files[1], "blue", "red", "green");
    const source = await openNamed(root.path);
    expect(source.classes).toEqual(["red", "green", "blue"]);
    expect([...source.images("train").labels]).toEqual([0, 1, 2, 2, 1, 0, 1, 1, 2]);
    expect([...source.images("test").labels]).toEqual([1, 2, 0]);
  });

  it("are refused where files name other classes, but for those without labels", async () => {
    await fixtures(`${files[0]}.parquet`, `${files[1]}.parquet`);
    await withNames(files[3], "one", "three", "four");
    expect((await openNamed(root.path)).classes).toEqual(["red", "green", "blue"]);
    await withNames(files[2], "red", "blue", "black");
    const opened = openNamed(root.path);
    await expect(opened).rejects.toThrow(DataError);
    await expect(opened).rejects.toThrow(
      /validation-00000-of-00001\.parquet and train-00000-of-00002\.parquet name other classes: black only in the former and green only in/,
    );
  });

  it("may hold bare bytes and class names, compressed", async () => {
    await fixtures("plain.parquet");
    const source = await openNamed(join(root.path, "plain.parquet"));
    expect(source.classes).toEqual(["a", "b"]);
    expect([...source.images("train").labels]).toEqual([1, 0]);
    expect(await firstPixels(source, "train", 4)).toEqual(painted(source.images("train").labels));
  });

  it("are refused when truncated or without images and labels", async () => {
    const whole = await readFile(dataFixture("plain.parquet"));
    await root.files({
      "cut/a.parquet": whole.subarray(0, whole.length - 9),
      "text/a.parquet": "no parquet",
    });
    await expect(openNamed(join(root.path, "cut"))).rejects.toThrow(/cannot be read as parquet/);
    await expect(openNamed(join(root.path, "text"))).rejects.toThrow(DataError);
    // The name of the label column, in the schema and at the columns' places.
    const renamed = Buffer.from(whole.toString("latin1").replaceAll("class", "clasz"), "latin1");
    await root.files({ "other/a.parquet": renamed });
    await expect(openNamed(join(root.path, "other"))).rejects.toThrow(
      /has the columns img, clasz; none of them is one of labels/,
    );
  });
});

describe("CIFAR's binary version", () => {
  /** A record: labels, then a picture whose red plane starts with 10 + label, green with 20, blue with 30. */
  const record = (...labels: number[]) => {
    const bytes = Buffer.alloc(labels.length + 3072, 99);
    bytes.set(labels);
    for (const [plane, value] of [10 + labels.at(-1)!, 20, 30].entries())
      bytes[labels.length + plane * 1024] = value;
    return bytes;
  };
  const names10 = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
  const ten = () => ({
    "batches.meta.txt": names10,
    ...Object.fromEntries(
      [1, 2, 3, 4, 5].map((i) => [`data_batch_${i}.bin`, Buffer.concat([record(i), record(9)])]),
    ),
    "test_batch.bin": record(3),
  });
  const under = (folder: string, files: Record<string, string | Buffer>) =>
    root.files(
      Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content])),
    );

  it("is CIFAR-10 in five batches and one", async () => {
    await under("cifar-10-batches-bin", ten());
    for (const source of [
      await openNamed(root.path),
      await openNamed(join(root.path, "cifar-10-batches-bin")),
      await openNamed(`cifar-10:${root.path}`),
    ]) {
      expect(source.classes.length).toBe(10);
      expect([...source.images("train").labels]).toEqual([1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
      expect(source.images("train").at(3).id).toBe("data_batch_2.bin record 1");
    }
    const source = await openNamed(root.path);
    const expected = [1, 9, 2, 9, 3, 9, 4, 9, 5, 9].map((label) => [10 + label, 20, 30]);
    expect(await firstPixels(source, "train", 32)).toEqual(expected);
    expect(await firstPixels(source, "test", 32)).toEqual([[13, 20, 30]]);
    const item = source.images("train").at(2);
    expect([...(await item.open()).subarray(0, 2)]).toEqual([12, 99]);
  });

  it("is CIFAR-100 with its fine labels", async () => {
    const names = Array.from({ length: 100 }, (_, i) => `class ${i}`).join("\n");
    await under("cifar-100-binary", {
      "fine_label_names.txt": names,
      "train.bin": Buffer.concat([record(3, 99), record(19, 0)]),
      "test.bin": record(1, 42),
    });
    const source = await openNamed(`cifar-100:${root.path}`);
    expect(source.classes[42]).toBe("class 42");
    expect([...source.images("train").labels]).toEqual([99, 0]);
    expect(await firstPixels(source, "train", 32)).toEqual([
      [109, 20, 30],
      [10, 20, 30],
    ]);
  });

  it("refuses truncated files and labels out of range", async () => {
    await under("cifar-10-batches-bin", { ...ten(), "data_batch_4.bin": record(1).subarray(0, 3000) });
    await expect(openNamed(root.path)).rejects.toThrow(
      /data_batch_4\.bin has 3000 bytes, which is not a whole number/,
    );
    await under("cifar-10-batches-bin", {
      ...ten(),
      "data_batch_5.bin": Buffer.concat([record(1), record(10)]),
    });
    await expect(openNamed(root.path)).rejects.toThrow(/record 1 has the label 10, but there are 10 classes/);
  });

  it("changes its fingerprint with any pixel", async () => {
    await under("cifar-10-batches-bin", ten());
    const before = await (await openNamed(root.path)).fingerprint("test");
    const other = record(3);
    other[3000] = 1;
    await under("cifar-10-batches-bin", { "test_batch.bin": other });
    expect(await (await openNamed(root.path)).fingerprint("test")).not.toBe(before);
  });
});

describe("idx files", () => {
  const images = (count: number, ...first: number[]) => {
    const bytes = Buffer.alloc(16 + count * 6, 50);
    for (const [i, value] of [0x803, count, 2, 3].entries()) bytes.writeUInt32BE(value, 4 * i);
    for (const [i, value] of first.entries()) bytes[16 + i * 6] = value;
    return bytes;
  };
  const labels = (...all: number[]) => {
    const bytes = Buffer.alloc(8 + all.length);
    bytes.writeUInt32BE(0x801, 0);
    bytes.writeUInt32BE(all.length, 4);
    bytes.set(all, 8);
    return bytes;
  };
  const good = () => ({
    "train-images-idx3-ubyte.gz": gzipSync(images(3, 7, 8, 9)),
    "train-labels-idx1-ubyte.gz": gzipSync(labels(2, 0, 1)),
    // As some mirrors unpack and name them.
    "t10k-images.idx3-ubyte": images(1, 4),
    "t10k-labels.idx1-ubyte": labels(1),
  });

  it("are read compressed or not, and named where the name is given", async () => {
    await root.files(good());
    const plain = await openNamed(root.path);
    expect(plain.classes).toEqual(["0", "1", "2"]);
    expect([...plain.images("train").labels]).toEqual([2, 0, 1]);
    expect(plain.images("train").at(0).encoding).toEqual({
      kind: "pixels",
      width: 3,
      height: 2,
      channels: 1,
      layout: "hwc",
    });
    expect((await firstPixels(plain, "train", 2)).length).toBe(3);
    const bytes = await Promise.all([0, 1, 2].map((i) => plain.images("train").at(i).open()));
    expect(bytes.map((image) => [...image])).toEqual([7, 8, 9].map((value) => [value, 50, 50, 50, 50, 50]));
    expect([...(await plain.images("test").at(0).open())]).toEqual([4, 50, 50, 50, 50, 50]);
    const fashion = await openNamed(`fashion-mnist:${root.path}`);
    expect(fashion.classes[9]).toBe("Ankle boot");
  });

  it.each([
    [
      "a wrong magic number",
      { "t10k-images.idx3-ubyte": labels(1, 2, 3, 4, 5, 6, 7, 8, 9) },
      /the magic number 2049, expected the magic number 2051/,
    ],
    [
      "truncated images",
      { "t10k-images.idx3-ubyte": images(1).subarray(0, 20) },
      /says to be 1 × 2 × 3 but has 4 bytes/,
    ],
    [
      "a truncated archive",
      { "train-images-idx3-ubyte.gz": gzipSync(images(3)).subarray(0, 25) },
      /cannot be read/,
    ],
    [
      "fewer labels than images",
      { "train-labels-idx1-ubyte.gz": gzipSync(labels(1, 2)) },
      /has 3 images, but .* has 2 labels/,
    ],
    ["a file of another kind", { "t10k-labels.idx1-ubyte": "hello" }, /it has 5 bytes/],
  ])("are refused with %s", async (_, files, message) => {
    await root.files({ ...good(), ...files } as Record<string, Buffer>);
    await expect(openNamed(root.path)).rejects.toThrow(message);
  });

  it("are refused with a label that is not a class", async () => {
    await root.files({ ...good(), "t10k-labels.idx1-ubyte": labels(10) });
    await expect(openNamed(`mnist:${root.path}`)).rejects.toThrow(
      /image 0 has the label 10, but there are 10 classes/,
    );
  });

  const debian = "/usr/share/datasets/fashion-mnist";
  it.skipIf(!existsSync(debian))("are Fashion-MNIST as Debian has it, by its name alone", async () => {
    const source = await openNamed("fashion-mnist");
    expect([...classCounts(source, "train")]).toEqual(new Array(10).fill(6000));
    expect([...classCounts(source, "test")]).toEqual(new Array(10).fill(1000));
    // The first training image is the ankle boot of the data set's page.
    expect(source.classes[source.images("train").at(0).label]).toBe("Ankle boot");
    const pixels = await source.images("train").at(0).open();
    expect(pixels.length).toBe(784);
    expect(pixels.subarray(0, 28).every((value) => value === 0)).toBe(true);
  });
});
