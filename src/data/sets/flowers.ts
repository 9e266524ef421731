import { join } from "node:path";
import { DataError } from "../../errors.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { FileRecords, fileSplit, type ListedSplit, listedSource } from "../listed-source.ts";
import { matNumbers, readMat } from "./mat.ts";

const classCount = 102;
const splitIds = { train: "trnid", val: "valid", test: "tstid" } as const;

/**
 * Oxford Flowers-102: `jpg/image_00001.jpg` and so on, their labels in imagelabels.mat and the published split of
 * 1,020, 1,020 and 6,149 images in setid.mat. The files name no class: they are numbered as in the labels.
 */
export async function openFlowers(root: string, name: string): Promise<ImageSource> {
  const [labelFile, setFile] = [join(root, "imagelabels.mat"), join(root, "setid.mat")];
  const labels = matNumbers(await readMat(labelFile), "labels", labelFile);
  for (const [i, label] of labels.entries()) {
    if (!Number.isInteger(label) || label < 1 || label > classCount) {
      throw new DataError(
        `${labelFile}: image ${i + 1} has the label ${label}, not one of 1 to ${classCount}.`,
      );
    }
  }
  const sets = await readMat(setFile);
  const splits = new Map<Split, ListedSplit>();
  for (const [split, id] of Object.entries(splitIds) as [Split, string][]) {
    const records = new FileRecords();
    for (const image of matNumbers(sets, id, setFile)) {
      const label = labels[image - 1];
      if (label === undefined) {
        throw new DataError(
          `${setFile}: ${id} names image ${image}, but ${labelFile} has ${labels.length} labels.`,
        );
      }
      records.add(`image_${String(image).padStart(5, "0")}.jpg`, label - 1);
    }
    splits.set(split, fileSplit(join(root, "jpg"), records));
  }
  const classes = Array.from({ length: classCount }, (_, c) => `flower ${String(c + 1).padStart(3, "0")}`);
  return listedSource({ name, format: "flowers, names and sizes", classes, splits });
}
