import { existsSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { readCsv, readLines, wholeNumber } from "../../files/text-files.ts";
import { scanFolder, subfolders } from "../folder-scan.ts";
import { type ImageSource, listed } from "../image-source.ts";
import { FileRecords, fileSplit, listedSource } from "../listed-source.ts";
import { matNumbers, readMat } from "./mat.ts";

/** Classes of ImageNet-1K. */
const allClasses = 1000;
const wnid = /^n\d{8}$/;
/** Where Kaggle's archive has the images. */
const kaggleImages = "ILSVRC/Data/CLS-LOC";
const solution = "LOC_val_solution.csv";
const devkits = ["ILSVRC2012_devkit_t12/data", "devkit/data", "data"];
const groundTruth = "ILSVRC2012_validation_ground_truth.txt";

/**
 * ImageNet-1K, or the classes `wanted` of it: `train/<wnid>/*`, and `val/<wnid>/*` or a flat `val/` with the labels
 * of Kaggle's LOC_val_solution.csv or of the devkit. Classes are WordNet ids in order, as everyone's loaders have
 * them; `val` is the test split. Imagenette and Imagewoof in their own folders are laid out in the same way.
 */
export async function openImageNet(
  root: string,
  name: string,
  wanted: readonly string[] | null,
): Promise<ImageSource> {
  const base = existsSync(join(root, kaggleImages)) ? join(root, kaggleImages) : root;
  const present = new Set((await subfolders(join(base, "train"))).filter((folder) => wnid.test(folder)));
  const classes = [...(wanted ?? present)].sort();
  const missing = classes.filter((id) => !present.has(id));
  if (missing.length > 0) {
    throw new DataError(
      `${name}: ${join(base, "train")} lacks the class folder${missing.length === 1 ? "" : "s"} ${listed(missing)} ` +
        `(${classes.length - missing.length} of ${classes.length} are there).`,
    );
  }
  if (wanted === null && classes.length !== allClasses) {
    throw new DataError(
      `${name}: ${join(base, "train")} holds ${classes.length} class folders, not ${allClasses}. ` +
        "For a part of ImageNet name a subset (see `clp-dd datasets`), or give the path alone to read it as an image folder.",
    );
  }
  const train = await classFolders(base, "train", classes, name);
  const sorted = (await subfolders(join(base, "val"))).some((folder) => wnid.test(folder));
  const test = sorted
    ? await classFolders(base, "val", classes, name)
    : await flatValidation(root, base, classes, name);
  return listedSource({
    name,
    format: "imagenet, names and sizes",
    classes,
    notes: [`${name}: the validation images are the test split.`],
    splits: new Map([
      ["train", fileSplit(join(base, "train"), train)],
      ["test", fileSplit(join(base, "val"), test)],
    ]),
  });
}

async function classFolders(
  base: string,
  split: string,
  classes: readonly string[],
  name: string,
): Promise<FileRecords> {
  const records = new FileRecords();
  for (const [label, id] of classes.entries()) {
    const folder = join(base, split, id);
    const { images } = existsSync(folder) ? await scanFolder(folder) : { images: [] };
    if (images.length === 0)
      throw new DataError(`${name}: ${folder} has no image. Extract its archive again.`);
    for (const image of images) records.add(`${id}/${image}`, label);
  }
  return records;
}

async function flatValidation(
  root: string,
  base: string,
  classes: readonly string[],
  name: string,
): Promise<FileRecords> {
  const labelOf = await validationLabels(root, base, name);
  const index = new Map(classes.map((id, label) => [id, label]));
  const { images } = await scanFolder(join(base, "val"));
  const records = new FileRecords();
  for (const image of images) {
    const id = labelOf(image.replace(/\.[^.]*$/, ""));
    if (id === undefined)
      throw new DataError(`${name}: the validation image ${image} is not among the labels.`);
    const label = index.get(id);
    if (label !== undefined) records.add(image, label);
  }
  return records;
}

/** WordNet id by name of validation image. */
async function validationLabels(
  root: string,
  base: string,
  name: string,
): Promise<(image: string) => string | undefined> {
  const folder = [root, base].find((place) => existsSync(join(place, solution)));
  if (folder !== undefined) {
    const ids = new Map<string, string>();
    for (const row of await readCsv(folder, solution, ["ImageId", "PredictionString"])) {
      const id = row.get("PredictionString").trim().split(/\s+/)[0];
      if (!wnid.test(id)) throw new DataError(`${row.where}: "${id}" is not a WordNet id such as n01440764.`);
      ids.set(row.get("ImageId"), id);
    }
    return (image) => ids.get(image);
  }
  const devkit = devkits
    .map((place) => join(root, place))
    .find((place) => existsSync(join(place, groundTruth)));
  if (devkit === undefined) {
    throw new DataError(
      `${name}: ${join(base, "val")} has no class folders, and there are no labels for it. Put ${solution} (from ` +
        `Kaggle) or ILSVRC2012_devkit_t12 (with data/${groundTruth} and data/meta.mat) into ${root}, or sort the ` +
        "images into folders named by class.",
    );
  }
  const ids = await devkitIds(devkit);
  const lines = await readLines(devkit, groundTruth);
  const labels = lines.map(({ text, where }) =>
    ids.get(wholeNumber(text, 1, allClasses + 1, "class", where)),
  );
  return (image) => labels[Number(/_(\d+)$/.exec(image)?.[1] ?? 0) - 1];
}

/** WordNet ids by the devkit's own class numbers, from its `synsets` table. */
async function devkitIds(devkit: string): Promise<Map<number, string>> {
  const file = join(devkit, "meta.mat");
  const synsets = (await readMat(file)).get("synsets");
  const ids = new Map<number, string>();
  for (const row of synsets?.kind === "structs" ? synsets.structs : []) {
    const id = row.get("WNID");
    const number = matNumbers(row, "ILSVRC2012_ID", file)[0];
    if (id?.kind === "text" && number !== undefined) ids.set(number, id.text);
  }
  if (ids.size === 0)
    throw new DataError(`${file} must hold the table "synsets" with ILSVRC2012_ID and WNID.`);
  return ids;
}
