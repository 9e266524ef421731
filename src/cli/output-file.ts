import { access, constants, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { messageOf, UsageError } from "../errors.ts";
import { makeFolders } from "../files/disk.ts";
import { systemReason } from "../files/system-reason.ts";

/** What the system's refusals to write mean to the person. */
const refusals: Readonly<Record<string, string>> = {
  ENOENT: "its folder is not there",
  EEXIST: "there is a file of that name",
  ENOTDIR: "a part of the path is a file",
  EISDIR: "it is a folder",
};

const reasonOf = (error: unknown): string =>
  refusals[(error as NodeJS.ErrnoException).code ?? ""] ?? systemReason(error) ?? messageOf(error);

/** Throws UsageError where no file can be written at `file`: before the work, not after it. */
export async function requireWritableFile(option: string, file: string): Promise<void> {
  const folder = dirname(resolve(file));
  const [own, parent] = await Promise.all([file, folder].map((path) => stat(path).catch(() => undefined)));
  const why = own?.isDirectory()
    ? "it is a folder"
    : parent === undefined
      ? `there is no folder ${folder}`
      : !parent.isDirectory()
        ? `${folder} is a file`
        : await refusalOf(access(own ? file : folder, constants.W_OK));
  if (why === undefined) return;
  throw new UsageError(`${option} ${file} cannot be written: ${why}. Give a file in a folder that is there.`);
}

/** Makes a folder for results, if it is not there. Throws UsageError where there can be none to write in. */
export async function makeFolder(option: string, folder: string): Promise<void> {
  const why = (await refusalOf(makeFolders(folder))) ?? (await refusalOf(access(folder, constants.W_OK)));
  if (why === undefined) return;
  throw new UsageError(`${option} ${folder} cannot be a folder of results: ${why}. Choose another folder.`);
}

/** A sentence for each file that could not be written: what else there is to show must not be lost with it. */
export async function unwritten(writes: Readonly<Record<string, Promise<void>>>): Promise<string[]> {
  const found = await Promise.all(
    Object.entries(writes).map(async ([file, write]) => {
      const why = await refusalOf(write);
      return why === undefined ? [] : [`${file} could not be written: ${why}.`];
    }),
  );
  return found.flat();
}

const refusalOf = (work: Promise<unknown>): Promise<string | undefined> =>
  work.then(() => undefined, reasonOf);
