import { join } from "node:path";
import { DataError } from "../../errors.ts";
import { readNumbered, safePath, wholeNumber } from "../../files/text-files.ts";
import type { ImageSource } from "../image-source.ts";
import { FileRecords, fileSplit, listedSource } from "../listed-source.ts";

/** CUB-200-2011: tables of images, of their classes and of the split, joined by image number. */
export async function openCub(root: string, name: string): Promise<ImageSource> {
  const names = await readNumbered(root, "classes.txt");
  const numbers = [...names.keys()].sort((a, b) => a - b);
  const labelOf = new Map(numbers.map((number, label) => [number, label]));
  const files = await readNumbered(root, "images.txt");
  const labels = await readNumbered(root, "image_class_labels.txt");
  const training = await readNumbered(root, "train_test_split.txt");
  const parts = [new FileRecords(), new FileRecords()] as const;
  for (const [number, path] of files) {
    const where = `${join(root, "images.txt")}, image ${number}`;
    const of = (table: Map<number, string>, file: string): string => {
      const value = table.get(number);
      if (value === undefined) throw new DataError(`${where} is not in ${file}. Extract the archive again.`);
      return value;
    };
    const given = wholeNumber(
      of(labels, "image_class_labels.txt"),
      numbers[0] ?? 1,
      (numbers.at(-1) ?? 0) + 1,
      "class",
      where,
    );
    const label = labelOf.get(given);
    if (label === undefined) throw new DataError(`${where}: the class ${given} is not in classes.txt.`);
    const train = wholeNumber(of(training, "train_test_split.txt"), 0, 2, "split", where);
    parts[train === 1 ? 0 : 1].add(safePath(path, where), label);
  }
  return listedSource({
    name,
    format: "cub, names and sizes",
    classes: numbers.map((number) => names.get(number)!),
    splits: new Map([
      ["train", fileSplit(join(root, "images"), parts[0])],
      ["test", fileSplit(join(root, "images"), parts[1])],
    ]),
  });
}
