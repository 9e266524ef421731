import { hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { DataError, messageOf } from "../errors.ts";
import { digestFiles, fileItem } from "./file-item.ts";
import { holdsImage, imageExtensions, scanFolder, subfolders, systemFoldersIn } from "./folder-scan.ts";
import { type ImageSource, listed, type Split } from "./image-source.ts";
import { imageList, type ListedSplit, listedSource } from "./listed-source.ts";
import { splitFolders } from "./split-name.ts";

/** How `openImageFolder` reads a folder. */
export interface ImageFolderOptions {
  /**
   * Share of each class's images that becomes the test split where the folder has none, 0 ≤ holdout < 1. By
   * default 0.2; with 0 there is no test split.
   */
  readonly holdout?: number;
  /** Which images are held out. By default 0. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** The images of one class folder: the folder's path and the images' paths in it. */
interface ClassFiles {
  readonly folder: string;
  readonly files: readonly string[];
}

/**
 * A folder of images: `DIR/<class>/*` or `DIR/train/<class>/*` with `DIR/test` (and, or instead, `DIR/val`);
 * a split's folder may be called anything that `splitOfName` knows, such as `Training`.
 * Classes are the folders' names and images the files whose extension is one of `imageExtensions`, in natural
 * order, those in nested folders of a class included; hidden files and folders are passed over and links are
 * followed, once round a cycle. Where only `val` exists it is the test split; where neither does, a stratified
 * share of every class is held out, the same whenever seed and names are.
 *
 * The fingerprint covers class names, ids (paths in the split), labels and file sizes, not the files' contents
 * or times: a copy of a folder has the fingerprint of the original.
 *
 * Throws DataError when the folder cannot be read, holds no class folders or only one, when a class has no
 * image, or when the splits' classes differ.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions = {}): Promise<ImageSource> {
  const root = resolve(path);
  const holdout = options.holdout ?? 0.2;
  if (!(holdout >= 0 && holdout < 1)) {
    throw new RangeError(`the held-out share must be at least 0 and below 1, got ${holdout}`);
  }
  await requireFolder(root);
  const notes: string[] = [];
  const folders = await subfolders(root);
  const name = basename(root);
  const layout = splitFolders(folders);
  if (!(await areSplits(root, folders, layout, options.signal))) {
    if (layout.size > 1 && layout.has("train")) {
      const named = listed([...layout.values()]);
      notes.push(
        `${root}: ${named} were read as classes, since ${layout.get("train")} holds no class folders.`,
      );
    }
    const whole = await readSplit(root, folders, notes, options.signal);
    return heldOut(name, whole, holdout, options.seed ?? 0, notes);
  }
  const others = beside(layout, folders);
  if (others.length > 0) notes.push(`${root}: beside the splits, ${listed(others)} was passed over.`);
  const splits = new Map<Split, Map<string, ClassFiles>>();
  for (const [split, folder] of layout) {
    const where = join(root, folder);
    splits.set(split, await readSplit(where, await subfolders(where), notes, options.signal));
  }
  requireSameClasses(root, splits);
  if (!splits.has("test")) {
    const val = splits.get("val");
    if (val === undefined) return heldOut(name, splits.get("train")!, holdout, options.seed ?? 0, notes);
    splits.delete("val");
    splits.set("test", val);
    notes.push(`${root} has no test folder: ${layout.get("val")} is the test split.`);
  }
  return folderSource(name, splits, notes);
}

/** Paths under `root` of the folders that `openImageFolder` takes for classes: of training's where there are splits. */
export async function classFolders(root: string): Promise<string[]> {
  const folders = await subfolders(root);
  const layout = splitFolders(folders);
  if (!(await areSplits(root, folders, layout))) return folders;
  const train = layout.get("train")!;
  return (await subfolders(join(root, train))).map((name) => `${train}/${name}`);
}

async function requireFolder(root: string): Promise<void> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(root)).isDirectory();
  } catch (cause) {
    throw new DataError(
      `${root} cannot be read (${messageOf(cause)}). Give the path of a folder of images.`,
      {
        cause,
      },
    );
  }
  if (!isFolder) throw new DataError(`${root} is a file. Give the folder that holds one folder per class.`);
}

/**
 * Whether the folders named for splits are splits: else all are classes. A class may be called "train": it is a split
 * only where another split is beside it or nothing else is. And so may "train", "test" and "cat" be, all three: those
 * are splits only where "train" holds folders or the others no images.
 */
async function areSplits(
  root: string,
  folders: readonly string[],
  layout: ReadonlyMap<Split, string>,
  signal?: AbortSignal,
): Promise<boolean> {
  const train = layout.get("train");
  if (train === undefined || (layout.size === 1 && folders.length > 1)) return false;
  const others = beside(layout, folders);
  if (others.length === 0 || (await subfolders(join(root, train))).length > 0) return true;
  for (const other of others) {
    if (!(await holdsImage(join(root, other), signal))) return true;
  }
  return false;
}

/** The folders that are no splits. */
function beside(layout: ReadonlyMap<Split, string>, folders: readonly string[]): string[] {
  const splits = new Set(layout.values());
  return folders.filter((folder) => !splits.has(folder));
}

async function readSplit(
  root: string,
  classes: readonly string[],
  notes: string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, ClassFiles>> {
  if (classes.length === 0) {
    const loose = (await scanFolder(root, signal)).images.length;
    throw new DataError(
      loose > 0
        ? `${root} holds ${loose} images but no folders. Put each class's images in a folder named for the class.`
        : `${root} is empty: expected one folder per class, each holding images (${imageExtensions.join(", ")}).`,
    );
  }
  const found = new Map<string, ClassFiles>();
  const skipped = new Map<string, number>();
  const empty: string[] = [];
  let broken = 0;
  let notFiles = 0;
  const systems = await systemFoldersIn(root);
  for (const name of classes) {
    const folder = join(root, name);
    const scan = await scanFolder(folder, signal);
    if (scan.images.length === 0) empty.push(name);
    found.set(name, { folder, files: scan.images });
    broken += scan.brokenLinks;
    notFiles += scan.notFiles;
    systems.push(...scan.systemFolders);
    for (const [extension, count] of scan.otherImages) {
      skipped.set(extension, (skipped.get(extension) ?? 0) + count);
    }
  }
  const formats = `an image is a file ending in ${imageExtensions.join(", ")}`;
  if (empty.length > 0) {
    const others =
      skipped.size > 0 ? `; ${listed([...skipped.keys()])} files cannot be read, convert them` : "";
    throw new DataError(
      `${root}: ${listed(empty)} ${empty.length === 1 ? "has" : "have"} no image (${formats}${others}). ` +
        "Add images or remove the folder.",
    );
  }
  if (classes.length === 1) {
    throw new DataError(
      `${root} holds a single class, ${classes[0]}; a classifier needs at least two. ` +
        "Give the folder that holds one folder per class.",
    );
  }
  for (const [extension, count] of skipped) {
    notes.push(`${root}: ${count} ${extension} files were passed over; ${formats}.`);
  }
  if (systems.length > 0) {
    const named = listed([...new Set(systems)]);
    notes.push(`${root}: ${systems.length} folders of systems (${named}) were passed over.`);
  }
  if (broken > 0) notes.push(`${root}: ${broken} links that lead nowhere or back were passed over.`);
  if (notFiles > 0)
    notes.push(`${root}: ${notFiles} pipes, sockets or devices in place of images were passed over.`);
  return found;
}

function requireSameClasses(root: string, splits: Map<Split, Map<string, ClassFiles>>): void {
  const train = splits.get("train")!;
  for (const [split, files] of splits) {
    const missing = [...train.keys()].filter((name) => !files.has(name));
    const unknown = [...files.keys()].filter((name) => !train.has(name));
    if (missing.length === 0 && unknown.length === 0) continue;
    const differences = [
      ...(missing.length > 0 ? [`${listed(missing)} only in train`] : []),
      ...(unknown.length > 0 ? [`${listed(unknown)} only in ${split}`] : []),
    ];
    throw new DataError(
      `${root}: train and ${split} must hold the same class folders, but found ${differences.join(" and ")}.`,
    );
  }
}

/** Splits every class by the rank of its images' hashes: stable when images are added or listed otherwise. */
function heldOut(
  name: string,
  whole: Map<string, ClassFiles>,
  share: number,
  seed: number,
  notes: string[],
): ImageSource {
  const classes = [...whole.keys()];
  if (share === 0) return folderSource(name, new Map([["train", whole]]), notes);
  const single = classes.filter((label) => whole.get(label)!.files.length < 2);
  if (single.length > 0) {
    throw new DataError(
      `${name} has no test folder, and holding images out for testing needs at least two of each class, but ` +
        `${listed(single)} ${single.length === 1 ? "has" : "have"} one. Add images, or give a test folder.`,
    );
  }
  const train = new Map<string, ClassFiles>();
  const test = new Map<string, ClassFiles>();
  for (const [label, { folder, files }] of whole) {
    const held = new Set(
      files
        .map((file) => ({ file, rank: hash("sha256", JSON.stringify([seed, label, file])) }))
        .sort((a, b) => (a.rank < b.rank ? -1 : 1))
        .slice(0, Math.min(files.length - 1, Math.max(1, Math.round(files.length * share))))
        .map(({ file }) => file),
    );
    train.set(label, { folder, files: files.filter((file) => !held.has(file)) });
    test.set(label, { folder, files: files.filter((file) => held.has(file)) });
  }
  const count = countOf(test);
  notes.push(
    `${name} has no test folder: ${count} of ${countOf(whole)} images, ` +
      `${Math.round(share * 100)} % of each class, are held out as the test split (seed ${seed}).`,
  );
  const splits = new Map<Split, Map<string, ClassFiles>>([
    ["train", train],
    ["test", test],
  ]);
  return folderSource(name, splits, notes);
}

function countOf(byClass: ReadonlyMap<string, ClassFiles>): number {
  return [...byClass.values()].reduce((sum, { files }) => sum + files.length, 0);
}

/** The fingerprint's start has always been without groups: with them, features that are cached would not be found. */
function folderSource(
  name: string,
  splits: ReadonlyMap<Split, Map<string, ClassFiles>>,
  notes: readonly string[],
): ImageSource {
  const classes = [...splits.get("train")!.keys()];
  const format = "image folder, names and sizes";
  return listedSource({
    name,
    format,
    head: [format, classes],
    classes,
    notes,
    splits: new Map([...splits].map(([split, files]) => [split, splitOf(classes, files)])),
  });
}

function splitOf(classes: readonly string[], byClass: ReadonlyMap<string, ClassFiles>): ListedSplit {
  const folders = classes.map((name) => byClass.get(name)!);
  /** Index of the first image of each class. */
  const starts: number[] = [];
  let length = 0;
  for (const { files } of folders) {
    starts.push(length);
    length += files.length;
  }
  const labels = new Int32Array(length);
  for (const [label, start] of starts.entries()) labels.fill(label, start, starts[label + 1]);
  const images = imageList(labels, undefined, (index, label) => {
    const { folder, files } = folders[label];
    const file = files[index - starts[label]!];
    return fileItem(`${classes[label]}/${file}`, join(folder, file), label);
  });
  return { images, digest: (digest) => digestFiles(digest, images) };
}
