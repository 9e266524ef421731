import { existsSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { DataError, messageOf } from "../../errors.ts";
import { readLines, readText, safePath, shown } from "../../files/text-files.ts";
import { type ImageSource, listed, type Split } from "../image-source.ts";
import { FileRecords, fileSplit, type ListedSplit, listedSource } from "../listed-source.ts";

const ByClass = z.record(z.string(), z.array(z.string()));

/** Food-101: `meta/train.txt` and `test.txt` (or .json) list `<class>/<number>`, files in `images/`. */
export async function openFood(root: string, name: string): Promise<ImageSource> {
  const lists = new Map<Split, string[]>();
  for (const split of ["train", "test"] as const) lists.set(split, await listOf(root, split));
  const classOf = (path: string) => path.split("/")[0];
  const classes = [...new Set(lists.get("train")!.map(classOf))].sort();
  const labelOf = new Map(classes.map((label, i) => [label, i]));
  const splits = new Map<Split, ListedSplit>();
  for (const [split, paths] of lists) {
    const unknown = [...new Set(paths.map(classOf))].filter((label) => !labelOf.has(label));
    if (unknown.length > 0) {
      throw new DataError(
        `${join(root, "meta")}: ${split} lists the classes ${listed(unknown)}, which train has not.`,
      );
    }
    const records = new FileRecords();
    for (const path of paths) records.add(`${path}.jpg`, labelOf.get(classOf(path))!);
    splits.set(split, fileSplit(join(root, "images"), records));
  }
  return listedSource({ name, format: "food, names and sizes", classes, splits });
}

async function listOf(root: string, split: string): Promise<string[]> {
  const [txt, json] = [`meta/${split}.txt`, `meta/${split}.json`];
  if (existsSync(join(root, txt))) {
    return (await readLines(root, txt)).map(({ text, where }) => entry(text, where));
  }
  const file = join(root, json);
  try {
    return Object.values(ByClass.parse(JSON.parse(await readText(root, json))))
      .flat()
      .map((path) => entry(path, file));
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${file} is not a table of class to images: ${messageOf(cause)}`, { cause });
  }
}

function entry(path: string, where: string): string {
  const safe = safePath(path, where);
  if (safe.split("/").length === 2) return safe;
  throw new DataError(`${where}: expected <class>/<image>, got "${shown(path)}".`);
}
