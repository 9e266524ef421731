import { constants } from "node:fs";
import { copyFile, link, unlink } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { makeFolders } from "../files/disk.ts";

/** A file and the class folder that it goes to. */
export interface FileToSort {
  readonly file: string;
  readonly folder: string;
}

/**
 * Moves or copies files into folders under `root`. Nothing is overwritten: a name that is taken gets a number, "a (2).jpg".
 * A file that is there already stays.
 * @returns where each file is now, in order
 */
export async function sortFiles(
  files: readonly FileToSort[],
  root: string,
  how: "move" | "copy",
): Promise<string[]> {
  const places: string[] = [];
  for (const { file, folder } of files) {
    await makeFolders(join(root, folder));
    places.push(await placed(file, join(root, folder), how));
  }
  return places;
}

async function placed(file: string, folder: string, how: "move" | "copy"): Promise<string> {
  const extension = extname(file);
  const name = basename(file, extension);
  for (let number = 1; ; number++) {
    const target = join(folder, `${name}${number === 1 ? "" : ` (${number})`}${extension}`);
    if (resolve(target) === resolve(file)) return target;
    try {
      if (how === "move") await move(file, target);
      else await copyFile(file, target, constants.COPYFILE_EXCL);
      return target;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/** A rename overwrites what has the new name; a link does not. */
async function move(file: string, target: string): Promise<void> {
  try {
    await link(file, target);
  } catch (error) {
    // Another disk, or a file system without links.
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw error;
    await copyFile(file, target, constants.COPYFILE_EXCL);
  }
  await unlink(file);
}
