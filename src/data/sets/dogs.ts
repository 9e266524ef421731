import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { safePath, shown } from "../../files/text-files.ts";
import type { ImageSource, Split } from "../image-source.ts";
import { FileRecords, fileSplit, type ListedSplit, listedSource } from "../listed-source.ts";
import { matNumbers, matTexts, readMat } from "./mat.ts";

/** Stanford Dogs: `lists/train_list.mat` and `test_list.mat` name the files in `Images/` and their classes. */
export async function openDogs(root: string, name: string): Promise<ImageSource> {
  const classes: string[] = [];
  const splits = new Map<Split, ListedSplit>();
  for (const split of ["train", "test"] as const) {
    const file = join(root, "lists", `${split}_list.mat`);
    const variables = await readMat(file);
    const paths = matTexts(variables, "file_list", file);
    const labels = matNumbers(variables, "labels", file);
    if (paths.length !== labels.length) {
      throw new DataError(
        `${file} has ${paths.length} files and ${labels.length} labels. Download it again.`,
      );
    }
    const records = new FileRecords();
    for (const [i, path] of paths.entries()) {
      const where = `${file}, file ${i + 1}`;
      const safe = safePath(path, where);
      const label = labels[i] - 1;
      const folder = safe.split("/")[0];
      // A class is one folder in both lists: a label that says otherwise is a wrong one.
      if (
        !Number.isInteger(label) ||
        label < 0 ||
        label >= paths.length ||
        (classes[label] ?? folder) !== folder
      ) {
        throw new DataError(
          `${where}: ${shown(safe)} has the label ${labels[i]}, which ${classes[label] === undefined ? "is not a class" : `stands for ${classes[label]}`}.`,
        );
      }
      classes[label] = folder;
      records.add(safe, label);
    }
    splits.set(split, fileSplit(join(root, "Images"), records));
  }
  const gap = Array.from(classes, (folder) => folder ?? "").indexOf("");
  if (gap >= 0)
    throw new DataError(`${join(root, "lists")}: the labels run to ${classes.length} without ${gap + 1}.`);
  return listedSource({ name, format: "dogs, names and sizes", classes, splits });
}
