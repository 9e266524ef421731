import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imagenetSubsets } from "../../../src/data/sets/imagenet-subsets.ts";
import { openNamed } from "../../../src/data/sets/open-named.ts";
import { DataError } from "../../../src/errors.ts";
import { type DataFolder, dataFixture, dataFolder, listing } from "../../support/data-folder.ts";

let root: DataFolder;
beforeEach(async () => {
  root = await dataFolder();
});
afterEach(() => root.remove());

const open = (name: string) => openNamed(`${name}:${root.path}`);

describe("ImageNet", () => {
  const ids = imagenetSubsets.imagefruit!;

  it("takes a subset's classes, in order, out of the whole's folders", async () => {
    await root.files([
      ...["n01440764", ...ids].flatMap((id) => [`train/${id}/${id}_1.JPEG`, `train/${id}/${id}_0.JPEG`]),
      ...["n01440764", ...ids].map((id) => `val/${id}/ILSVRC2012_val_1.JPEG`),
    ]);
    const source = await open("imagefruit");
    expect(source.classes).toEqual([...ids].sort());
    expect(source.images("train").length).toBe(20);
    expect(source.images("train").at(3).id).toBe(`${ids[1]}/${ids[1]}_1.JPEG`);
    expect(source.images("train").at(3).label).toBe(1);
    expect(source.images("train").at(3).file?.path).toBe(
      join(root.path, "train", ids[1], `${ids[1]}_1.JPEG`),
    );
    expect(source.images("test").length).toBe(10);
    expect(source.splits).toEqual(["train", "test"]);
  });

  it("names the classes that are missing, and refuses a part of ImageNet for the whole", async () => {
    await root.files([`train/${ids[0]}/a.JPEG`, `val/${ids[0]}/a.JPEG`]);
    await expect(open("imagefruit")).rejects.toThrow(/lacks the class folders .*\(1 of 10 are there\)/);
    await expect(open("imagenet")).rejects.toThrow(/holds 1 class folders, not 1000/);
  });

  it("reads a flat val with Kaggle's labels, in Kaggle's folders", async () => {
    const base = "ILSVRC/Data/CLS-LOC";
    await root.files(ids.map((id) => `${base}/train/${id}/a.JPEG`));
    await root.files([4, 5, 6].map((i) => `${base}/val/ILSVRC2012_val_0000000${i}.JPEG`));
    const rows = [
      `ILSVRC2012_val_00000006,${ids[2]} 85 1 499 272 `,
      `ILSVRC2012_val_00000004,${ids[9]} 1 2 3 4 ${ids[9]} 5 6 7 8 `,
      "ILSVRC2012_val_00000005,n01440764 85 1 499 272 ",
    ];
    await root.files({ "LOC_val_solution.csv": ["ImageId,PredictionString", ...rows, ""].join("\n") });
    // The one of another class is left out.
    expect(listing(await open("imagefruit"), "test")).toEqual([
      "ILSVRC2012_val_00000004.JPEG 9",
      "ILSVRC2012_val_00000006.JPEG 2",
    ]);
    await root.files([`${base}/val/ILSVRC2012_val_00000007.JPEG`]);
    await expect(open("imagefruit")).rejects.toThrow(/00000007\.JPEG is not among the labels/);
  });

  it("reads a flat val with the devkit's labels, whose numbers are its own", async () => {
    const classes = imagenetSubsets.imagenette!;
    await root.files(classes.map((id) => `train/${id}/a.JPEG`));
    await root.files([1, 2, 3].map((i) => `val/ILSVRC2012_val_0000000${i}.JPEG`));
    await expect(open("imagenette")).rejects.toThrow(
      /there are no labels for it\. Put LOC_val_solution\.csv/,
    );
    const data = "ILSVRC2012_devkit_t12/data";
    await root.files({ [`${data}/ILSVRC2012_validation_ground_truth.txt`]: "1\n3\n2\n" });
    await cp(dataFixture("meta.mat"), join(root.path, data, "meta.mat"));
    // In the fixture, 3 is the tench, n01440764, which is Imagenette's first class; the others are not in it.
    expect(listing(await open("imagenette"), "test")).toEqual(["ILSVRC2012_val_00000002.JPEG 0"]);
    await root.files({ [`${data}/ILSVRC2012_validation_ground_truth.txt`]: "1\n1001\n2\n" });
    await expect(open("imagenette")).rejects.toThrow(/line 2: the class "1001" is not one of 1 to 1000/);
  });

  it("is all of its thousand classes, by its path alone where its labels lie beside it", async () => {
    const all = Array.from({ length: 1000 }, (_, c) => `n${String(10_000_000 + 7 * c)}`);
    await root.files([...all.map((id) => `train/${id}/a.JPEG`), "val/ILSVRC2012_val_00000001.JPEG"]);
    await root.files({
      "LOC_val_solution.csv": `ImageId,PredictionString\nILSVRC2012_val_00000001,${all[700]} 1 2 3 4\n`,
    });
    for (const source of [await open("imagenet"), await openNamed(root.path)]) {
      expect(source.name).toBe("imagenet");
      expect(source.classes).toEqual(all);
      expect(source.images("train").length).toBe(1000);
      expect(listing(source, "test")).toEqual(["ILSVRC2012_val_00000001.JPEG 700"]);
    }
  });

  it("says where it comes from and how it must lie when it is not there", async () => {
    await expect(open("imagenet-100")).rejects.toThrow(
      /lacks train, val[\s\S]*image-net\.org[\s\S]*train\/<wnid>/,
    );
  });
});

describe("CUB-200-2011", () => {
  const good = {
    "classes.txt": "1 001.Albatross\n2 002.Auklet\n",
    "images.txt":
      "1 001.Albatross/a_1.jpg\n2 001.Albatross/a_2.jpg\n3 002.Auklet/b_1.jpg\n4 002.Auklet/b_2.jpg\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
    "train_test_split.txt": "1 0\n2 1\n3 1\n4 0\n",
  };
  const withFiles = (files: Record<string, string>) =>
    root.files({ "images/001.Albatross/a_1.jpg": "", ...good, ...files });

  it("joins its tables by image number, by name or by path alone", async () => {
    await withFiles({});
    for (const source of [await open("cub-200"), await openNamed(root.path)]) {
      expect(source.name).toBe("cub-200");
      expect(source.classes).toEqual(["001.Albatross", "002.Auklet"]);
      expect(listing(source, "train")).toEqual(["001.Albatross/a_2.jpg 0", "002.Auklet/b_1.jpg 1"]);
      expect(listing(source, "test")).toEqual(["001.Albatross/a_1.jpg 0", "002.Auklet/b_2.jpg 1"]);
    }
    expect((await open("cub-200")).images("test").at(0).file?.path).toBe(
      join(root.path, "images/001.Albatross/a_1.jpg"),
    );
  });

  it.each([
    [
      "a path that leaves the folder",
      { "images.txt": "1 ../../secret.jpg\n" },
      /leads out of the data set's folder/,
    ],
    ["an absolute path", { "images.txt": "1 /etc/passwd\n" }, /leads out of/],
    [
      "a label out of range",
      { "image_class_labels.txt": "1 1\n2 3\n3 2\n4 2\n" },
      /image 2: the class "3" is not one of 1 to 2/,
    ],
    [
      "an image without a label",
      { "image_class_labels.txt": "1 1\n2 1\n3 2\n" },
      /image 4 is not in image_class_labels\.txt/,
    ],
    ["a line of another form", { "images.txt": "one a.jpg\n" }, /line 1: expected a number and a value/],
    ["a split of another kind", { "train_test_split.txt": "1 0\n2 1\n3 2\n4 0\n" }, /the split "2"/],
  ])("refuses %s", async (_, files, message) => {
    await withFiles(files as Record<string, string>);
    const opened = open("cub-200");
    await expect(opened).rejects.toThrow(DataError);
    await expect(opened).rejects.toThrow(message);
  });

  it("has a fingerprint that follows files and labels, not the place", async () => {
    await withFiles({});
    await root.files(["images/001.Albatross/a_2.jpg", "images/002.Auklet/b_1.jpg"]);
    const before = await (await open("cub-200")).fingerprint("train");
    const other = await dataFolder();
    await cp(root.path, other.path, { recursive: true });
    expect(await (await openNamed(`cub-200:${other.path}`)).fingerprint("train")).toBe(before);
    await other.remove();
    await root.files({ "images/002.Auklet/b_1.jpg": "another size" });
    expect(await (await open("cub-200")).fingerprint("train")).not.toBe(before);
    await rm(join(root.path, "images/002.Auklet/b_1.jpg"));
    await expect((await open("cub-200")).fingerprint("train")).rejects.toThrow(/b_1\.jpg is not there/);
  });
});

describe("Stanford Dogs", () => {
  beforeEach(async () => {
    await root.files(["Images/n02085620-Chihuahua/n02085620_1.jpg"]);
    for (const split of ["train", "test"]) {
      await root.files({ [`lists/${split}_list.mat`]: "" });
      await cp(dataFixture(`${split}_list.mat`), join(root.path, `lists/${split}_list.mat`));
    }
  });

  it("reads its lists' cells and labels", async () => {
    const source = await openNamed(root.path);
    expect(source.name).toBe("stanford-dogs");
    expect(source.classes).toEqual(["n02085620-Chihuahua", "n02085782-Japanese_spaniel"]);
    expect(listing(source, "train")).toEqual([
      "n02085620-Chihuahua/n02085620_1.jpg 0",
      "n02085782-Japanese_spaniel/n02085782_2.jpg 1",
    ]);
    expect(listing(source, "test").map((line) => line.split(" ")[1])).toEqual(["0", "1"]);
    const { file } = source.images("train").at(0);
    expect(file?.path).toBe(join(root.path, "Images/n02085620-Chihuahua/n02085620_1.jpg"));
  });

  it("refuses lists of another kind", async () => {
    await cp(dataFixture("setid.mat"), join(root.path, "lists/test_list.mat"));
    await expect(open("stanford-dogs")).rejects.toThrow(
      /must hold the texts "file_list"; it has trnid, valid, tstid/,
    );
  });
});

describe("Flowers-102", () => {
  it("reads its labels and its three splits", async () => {
    await root.files(["jpg/image_00001.jpg"]);
    for (const file of ["imagelabels.mat", "setid.mat"]) await cp(dataFixture(file), join(root.path, file));
    const source = await openNamed(root.path);
    expect(source.splits).toEqual(["train", "val", "test"]);
    expect(source.classes.length).toBe(102);
    // The labels of images 1 to 7 are 1 2 102 1 2 77 102; trnid is 2 1 3, valid 4, tstid 7 5 6.
    expect(listing(source, "train")).toEqual([
      "image_00002.jpg 1",
      "image_00001.jpg 0",
      "image_00003.jpg 101",
    ]);
    expect(listing(source, "val")).toEqual(["image_00004.jpg 0"]);
    expect(listing(source, "test")).toEqual([
      "image_00007.jpg 101",
      "image_00005.jpg 1",
      "image_00006.jpg 76",
    ]);
  });

  it("refuses a split that names no image", async () => {
    await root.files(["jpg/image_00001.jpg"]);
    await cp(dataFixture("setid.mat"), join(root.path, "setid.mat"));
    // The dogs' labels are 1 and 2, of two images; the split names seven.
    await cp(dataFixture("train_list.mat"), join(root.path, "imagelabels.mat"));
    await expect(open("flowers-102")).rejects.toThrow(/trnid names image 3, but .* has 2 labels/);
  });
});

describe("Food-101", () => {
  const images = ["images/pie/1.jpg", "images/soup/2.jpg"];

  it.each([
    ["text", { "meta/train.txt": "soup/2\npie/1\n", "meta/test.txt": "pie/3\n" }],
    [
      "JSON",
      { "meta/train.json": '{"soup":["soup/2"],"pie":["pie/1"]}', "meta/test.json": '{"pie":["pie/3"]}' },
    ],
  ])("reads lists in %s", async (_, lists) => {
    await root.files(images);
    await root.files(lists as Record<string, string>);
    const source = await openNamed(root.path);
    expect(source.name).toBe("food-101");
    expect(source.classes).toEqual(["pie", "soup"]);
    expect(listing(source, "train")).toEqual(["soup/2.jpg 1", "pie/1.jpg 0"]);
    expect(listing(source, "test")).toEqual(["pie/3.jpg 0"]);
  });

  it.each([
    [{ "meta/train.txt": "../pie/1\n" }, /leads out of/],
    [{ "meta/train.txt": "pie\n" }, /expected <class>\/<image>/],
    [{ "meta/train.json": "[1]" }, /is not a table of class to images/],
    [{ "meta/train.txt": "pie/1\nsoup/1\n", "meta/test.txt": "cake/1\n" }, /test lists the classes cake/],
  ])("refuses %j", async (lists, message) => {
    await root.files(images);
    await root.files({
      ...("meta/train.json" in lists ? {} : { "meta/test.txt": "pie/3\n" }),
      "meta/test.json": "{}",
      ...lists,
    } as Record<string, string>);
    await expect(open("food-101")).rejects.toThrow(message);
  });
});

describe("Waterbirds", () => {
  const head = "img_id,img_filename,y,split,place,place_filename\n";

  it("has the groups class × background", async () => {
    await root.files({
      "metadata.csv": `${head}1,001.A/a.jpg,0,0,0,/b/x.jpg\n2,"001.A/b, c.jpg",1,0,0,x\n3,001.A/c.jpg,1,1,1,x\n4,001.A/d.jpg,0,2,1,x\n`,
    });
    for (const source of [await open("waterbirds"), await openNamed(root.path)]) {
      expect(source.groups).toEqual([
        "landbird on land",
        "landbird on water",
        "waterbird on land",
        "waterbird on water",
      ]);
      expect(listing(source, "train")).toEqual(["001.A/a.jpg 0 0", "001.A/b, c.jpg 1 2"]);
      expect(listing(source, "val")).toEqual(["001.A/c.jpg 1 3"]);
      expect(listing(source, "test")).toEqual(["001.A/d.jpg 0 1"]);
      expect([...source.images("train").groups!]).toEqual([0, 2]);
    }
  });

  it("may have a first column without a name, as pandas writes it", async () => {
    await root.files({
      "metadata.csv": `,${head}0,1,a.jpg,0,0,0,x\n1,2,b.jpg,0,1,0,\n,3,"c,""d"".jpg",1,2,1,\n`,
    });
    const source = await openNamed(root.path);
    expect(listing(source, "test")).toEqual(['c,"d".jpg 1 3']);
    expect(listing(source, "train")).toEqual(["a.jpg 0 0"]);
  });

  it.each([
    ["1,../a.jpg,0,0,0,x", /leads out of/],
    ["1,a.jpg,2,0,0,x", /line 2: the value of y "2" is not one of 0 to 1/],
    ["1,a.jpg,0,0,-1,x", /the value of place "-1"/],
    ["1,a.jpg,0", /3 fields, no place among them/],
  ])("refuses the row %s", async (row, message) => {
    await root.files({ "metadata.csv": `${head}${row}\n` });
    await expect(open("waterbirds")).rejects.toThrow(message);
  });

  it("names the columns that are missing", async () => {
    await root.files({ "metadata.csv": "img_id,file\n1,a.jpg\n" });
    await expect(open("waterbirds")).rejects.toThrow(/has the columns img_id, file; img_filename and y and/);
  });
});

describe("Spawrious", () => {
  const dogs = ["bulldog", "corgi", "dachshund", "labrador"];
  const places = ["beach", "desert", "dirt", "jungle", "mountain", "snow"];

  it("pairs classes and backgrounds as the hard one-to-one benchmark does", async () => {
    await root.files(
      ["0", "1"].flatMap((env) =>
        places.flatMap((place) =>
          dogs.map((dog) => `spawrious224/${env}/${place}/${dog}/${dog}_${place}_0.png`),
        ),
      ),
    );
    const source = await open("spawrious-o2o-hard");
    expect(source.classes).toEqual(dogs);
    const pairs = (split: "train" | "test") => {
      const images = source.images(split);
      return new Set(Array.from({ length: images.length }, (_, i) => source.groups![images.at(i).group!]!));
    };
    expect(pairs("train")).toEqual(
      new Set([
        ...["bulldog, jungle", "dachshund, mountain", "labrador, snow", "corgi, desert"],
        ...dogs.map((dog) => `${dog}, beach`),
      ]),
    );
    expect(pairs("test")).toEqual(
      new Set(["bulldog, mountain", "dachshund, snow", "labrador, desert", "corgi, jungle"]),
    );
    expect(source.images("test").length).toBe(8);
    expect(source.notes.join()).toMatch(/fewer than the data set's 3168 images/);
    await expect(openNamed(root.path)).rejects.toThrow(/name one, such as spawrious-o2o-hard:/);
  });

  it("takes 97 % and 87 % of a class with its background, the rest with the filler", async () => {
    // The counts of the benchmark: trunc(.97 · 3168) = 3072 and trunc(.87 · 3168) = 2756.
    const many = (path: string) => Array.from({ length: 3168 }, (_, i) => `spawrious224/${path}/${i}.png`);
    await root.files([...many("0/jungle/bulldog"), ...many("1/jungle/bulldog"), ...many("0/beach/bulldog")]);
    await root.files(
      ["0", "1"].flatMap((env) =>
        places.flatMap((place) => dogs.map((dog) => `spawrious224/${env}/${place}/${dog}/0.png`)),
      ),
    );
    const lines = listing(await open("spawrious-o2o-hard"), "train");
    const count = (start: string) => lines.filter((line) => line.startsWith(start)).length;
    expect(count("0/jungle/bulldog/")).toBe(3072);
    expect(count("1/jungle/bulldog/")).toBe(2756);
    expect(count("0/beach/bulldog/")).toBe(3168 - 3072);
  });

  it("names a folder without images", async () => {
    await root.files(["0/jungle/bulldog/a.png", "1/x.png"]);
    await expect(open("spawrious-o2o-hard")).rejects.toThrow(/0\/beach\/bulldog has no image/);
  });
});
