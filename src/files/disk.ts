import { type FileHandle, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ClpError, DataError, messageOf } from "../errors.ts";
import { systemReason } from "./system-reason.ts";

/** Writes all of `bytes` at `position`: one call of the system may write less. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/**
 * Makes a folder, and those above it, where they are not there. Node's own recursive `mkdir` never ends where a file
 * system has no such place and makes none, as Linux's `/proc`.
 * @throws the system's error
 */
export async function makeFolders(folder: string): Promise<void> {
  if (await madeOrPresent(folder)) return;
  const parent = dirname(resolve(folder));
  if (parent !== resolve(folder)) {
    await makeFolders(parent);
    if (await madeOrPresent(folder)) return;
  }
  const error = new Error(`no folder can be made in ${parent}`);
  throw Object.assign(error, { code: "ENOTSUP", syscall: "mkdir", path: folder });
}

/** False where the folder above is not there. */
async function madeOrPresent(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return false;
    // EEXIST, or another reason of a system for a folder that is there (a root, a read-only disk).
    if ((await stat(folder).catch(() => undefined))?.isDirectory()) return true;
    throw error;
  }
}

/** Replaces a file so that a kill at any moment leaves the old text or the new. */
export async function replaceFile(file: string, text: string, temporary = `${file}.tmp`): Promise<void> {
  await writeFile(temporary, text, { flush: true });
  await rename(temporary, file);
}

/** Whether the system has no room left for a file, on the disk or in the user's quota. */
export const isDiskFull = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");

/**
 * Runs writes into `folder`, turning a full or failing disk into an error for the person.
 * @param parameter the parameter that names another place for them, where there is one
 * @param goOn what to do when that is done: some writes leave nothing to resume from
 */
export async function onDisk<T>(
  folder: string,
  write: () => Promise<T>,
  parameter?: string,
  goOn = "run the same command again; it resumes where this one stopped",
): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    if (cause instanceof ClpError) throw cause;
    const reason = systemReason(cause);
    const why = reason === undefined ? messageOf(cause) : `${reason} (${messageOf(cause)})`;
    const what = isDiskFull(cause)
      ? `The disk is full, writing ${folder}. Make room`
      : `Writing ${folder} failed: ${why}. Fix that`;
    const elsewhere = parameter === undefined ? "" : `, or choose another folder with \`${parameter}\``;
    throw new DataError(`${what}${elsewhere}, then ${goOn}.`, { cause });
  }
}

/** Size in bytes, 0 when the file is not there. */
export async function sizeOrZero(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

/** Contents, empty when the file is not there. */
export async function readOrEmpty(file: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  });
}
