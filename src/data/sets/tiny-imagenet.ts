import { existsSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { readLines, shown } from "../../files/text-files.ts";
import { scanFolder, subfolders } from "../folder-scan.ts";
import { type ImageSource, listed } from "../image-source.ts";
import { FileRecords, fileSplit, listedSource } from "../listed-source.ts";

/** Classes of the whole set. */
const allClasses = 200;
const annotations = "val/val_annotations.txt";

/** Whether a folder is laid out as Tiny ImageNet's archive is, which nothing else is. */
export const isTinyImageNet = (root: string): boolean =>
  existsSync(join(root, annotations)) &&
  existsSync(join(root, "val/images")) &&
  existsSync(join(root, "train"));

/**
 * Tiny ImageNet as its archive unpacks: train/<wnid>/images, and val/images with the classes in val/val_annotations.txt.
 * Classes are the WordNet ids of training's folders in order; the validation images are the test split, since those of
 * `test` have no labels. The fingerprint covers names and sizes.
 */
export async function openTinyImageNet(root: string, name: string): Promise<ImageSource> {
  const classes = (await subfolders(join(root, "train"))).sort();
  const label = new Map(classes.map((id, i) => [id, i]));
  const train = new FileRecords();
  for (const [i, id] of classes.entries()) {
    const { images } = await scanFolder(join(root, "train", id));
    if (images.length === 0)
      throw new DataError(`${name}: ${join(root, "train", id)} has no image. Unpack the archive again.`);
    for (const image of images) train.add(`${id}/${image}`, i);
  }
  const labels = new Map<string, number>();
  for (const { text, where } of await readLines(root, annotations)) {
    const [image = "", id = ""] = text.split("\t");
    const found = label.get(id);
    if (found === undefined)
      throw new DataError(
        `${where}: "${shown(id)}" is not a class of ${join(root, "train")} (${listed(classes)}).`,
      );
    labels.set(image, found);
  }
  const test = new FileRecords();
  const { images } = await scanFolder(join(root, "val/images"));
  for (const image of images) {
    const found = labels.get(image);
    if (found === undefined)
      throw new DataError(`${name}: val/images/${image} is not named in ${annotations}.`);
    test.add(image, found);
  }
  const there = new Set(images);
  const missing = [...labels.keys()].filter((image) => !there.has(image)).length;
  return listedSource({
    name,
    format: "tiny-imagenet, names and sizes",
    classes,
    notes: [
      `${name}: the validation images are the test split; those of test have no labels.`,
      ...(classes.length === allClasses
        ? []
        : [`${name}: ${classes.length} of its ${allClasses} classes are there.`]),
      ...(missing === 0 ? [] : [`${name}: ${missing} images that ${annotations} names are not there.`]),
    ],
    splits: new Map([
      ["train", fileSplit(join(root, "train"), train)],
      ["test", fileSplit(join(root, "val/images"), test)],
    ]),
  });
}
