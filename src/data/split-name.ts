import type { Split } from "./image-source.ts";

/** What splits are called, in lower case. */
const names: Readonly<Record<string, Split>> = {
  train: "train",
  training: "train",
  val: "val",
  valid: "val",
  validation: "val",
  dev: "val",
  test: "test",
  testing: "test",
};

/** The split that a name stands for, in whatever letter case; undefined where it stands for none. */
export function splitOfName(name: string): Split | undefined {
  const lower = name.toLowerCase();
  return Object.hasOwn(names, lower) ? names[lower] : undefined;
}

/** Those of the folders that are named for a split. Where several are for one, the table's first name counts. */
export function splitFolders(folders: readonly string[]): Map<Split, string> {
  const found = new Map<Split, string>();
  for (const [name, split] of Object.entries(names)) {
    const folder = folders.includes(name) ? name : folders.find((other) => other.toLowerCase() === name);
    if (folder !== undefined && !found.has(split)) found.set(split, folder);
  }
  return found;
}

/**
 * The split that a file's path names, as a word in its name or in a folder's ("train-00000-of-00002.parquet",
 * "test/0003.tar", "imagenet-validation-12.tar"); the name counts before the folders. undefined where none does.
 */
export function splitOfPath(path: string): Split | undefined {
  for (const part of path.split("/").reverse()) {
    for (const word of part.split(/[^a-z]+/i)) {
      const split = splitOfName(word);
      if (split !== undefined) return split;
    }
  }
  return undefined;
}

/**
 * Files by the split their paths name, those that name none as training where no file names one.
 * A set with validation but no test data is tested on the former.
 */
export function bySplit(files: readonly string[]): { splits: Map<Split, string[]>; notes: string[] } {
  const splits = new Map<Split, string[]>();
  const unnamed: string[] = [];
  for (const file of files) {
    const split = splitOfPath(file);
    if (split === undefined) unnamed.push(file);
    else splits.set(split, [...(splits.get(split) ?? []), file]);
  }
  const notes: string[] = [];
  if (splits.size === 0) splits.set("train", unnamed);
  else if (unnamed.length > 0) notes.push(`${unnamed.length} files that name no split were passed over.`);
  return { splits, notes };
}

/** Makes "val" the test split of a set that has none. */
export function valAsTest<T>(splits: Map<Split, T>, notes: string[]): void {
  const val = splits.get("val");
  if (val === undefined || splits.has("test")) return;
  splits.delete("val");
  splits.set("test", val);
  notes.push("There is no test split: validation is the test split.");
}
