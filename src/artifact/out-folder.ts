import { existsSync } from "node:fs";
import { lstat, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DataError, messageOf, UsageError } from "../errors.ts";
import { isDiskFull } from "../files/disk.ts";
import { processRuns } from "../files/processes.ts";
import { systemReason } from "../files/system-reason.ts";
import { formatBytes } from "../format.ts";

/**
 * The absolute path of a folder for results. A link is followed: the folder that it leads to is replaced, and not the link.
 * @throws DataError for a link that leads nowhere
 */
export async function outFolder(out: string): Promise<string> {
  const path = resolve(out);
  const isLink = await lstat(path).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
  if (!isLink) return path;
  try {
    return await realpath(path);
  } catch (cause) {
    throw new DataError(
      `${out} is a link to a folder that is not there. Make that folder, or choose another \`out\`.`,
      {
        cause,
      },
    );
  }
}

/** What a folder of this program's holds, so that nobody's own folder is replaced. */
export interface FolderKind {
  /** What errors call it. */
  readonly name: string;
  /** Files that are in every one of them; the first is looked for where a replacement was cut short. */
  readonly marks: readonly [string, ...string[]];
}

const distilledSet: FolderKind = {
  name: "a distilled set",
  marks: ["manifest.json", "distilled.safetensors"],
};

/** Throws DataError when `out` holds something else than an artifact, or one that may not be overwritten. */
export async function requireWritableOut(
  out: string,
  overwrite: boolean,
  kind: FolderKind = distilledSet,
): Promise<void> {
  await restoreReplaced(out, kind);
  let entries: string[];
  try {
    entries = await readdir(out);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code === "ENOTDIR")
      throw new DataError(`${out} is a file. Choose a folder that does not exist yet for \`out\`.`);
    throw error;
  }
  if (entries.length === 0) return;
  const ours = kind.marks.every((mark) => existsSync(join(out, mark)));
  if (ours && overwrite) return;
  const shown = entries.slice(0, 3).join(", ");
  throw new DataError(
    ours
      ? `${out} already holds ${kind.name}. Choose another \`out\`, or replace it with \`overwrite: true\`.`
      : `${out} is not empty (${shown}${entries.length > 3 ? ", …" : ""}) and is not ${kind.name}. Choose another \`out\`.`,
  );
}

/** Throws UsageError for an `out` that would be inside the data set, be it by way of a link. */
export async function requireOutside(out: string, data: string): Promise<void> {
  if (!`${await realPath(out)}/`.startsWith(`${await realPath(data)}/`)) return;
  throw new UsageError(`\`out: '${out}'\` is inside the data set ${data}. Choose a folder elsewhere.`);
}

/** An absolute path without links; of what is not there yet, that of the nearest folder that is, and the rest. */
async function realPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await realPath(parent), basename(path));
  }
}

/**
 * Fills a temporary folder beside `out` and renames it, so that a kill leaves either nothing or all of it. A folder that
 * is replaced is set aside under a name of this program's own for the moment between two renames; a kill right there is
 * undone by the next look at `out`.
 * @throws DataError when `out` may not be written or the disk is full; nothing of `out` is changed then
 */
export async function replaceFolder<Result>(
  out: string,
  fill: (folder: string) => Promise<Result>,
  { needed, goOn }: { readonly needed: number; readonly goOn: string },
): Promise<Result> {
  const temporary = `${out}.partial-${process.pid}`;
  try {
    await removeAbandoned(out);
    const result = await fill(temporary);
    const replaced = replacedOf(out);
    // There only where a kill kept it from being removed: `out` has what replaced it.
    await rm(replaced, { recursive: true, force: true });
    if (existsSync(out)) await rename(out, replaced);
    await rename(temporary, out);
    await rm(replaced, { recursive: true, force: true });
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explained(error, out, needed, goOn);
  }
}

/** Where an artifact is while it is replaced: a name that no person gives their folder. */
const replacedOf = (out: string): string => `${resolve(out)}.replaced-by-clp-dd`;

/** Repairs what a kill between the two renames of a replacement left. */
async function restoreReplaced(out: string, kind: FolderKind): Promise<void> {
  const present = await presentFolder(out, kind);
  if (present !== out) await rename(present, out);
}

/** Where the artifact `out` is: in `out`, or set aside where a replacement was cut short between its renames. */
export async function presentFolder(out: string, { marks }: FolderKind = distilledSet): Promise<string> {
  const replaced = replacedOf(out);
  return !existsSync(out) && existsSync(join(replaced, marks[0])) ? replaced : out;
}

/** Removes what killed processes left half written. */
async function removeAbandoned(out: string): Promise<void> {
  const folder = dirname(resolve(out));
  const prefix = `${basename(resolve(out))}.partial-`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((n) => n.startsWith(prefix))) {
    // Only names that a write gives: others are somebody's own.
    if (!/^\d+$/.test(name.slice(prefix.length))) continue;
    const pid = Number(name.slice(prefix.length));
    if (pid !== process.pid && processRuns(pid)) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** A system's error in words for the person; others as they are. */
function explained(error: unknown, out: string, needed: number, goOn: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  const message = isDiskFull(error)
    ? `The disk is full: ${out} needs up to ${formatBytes(needed)}. Make room, then ${goOn}.`
    : `Writing ${out} failed: ${systemReason(error) ?? messageOf(error)}. Fix that, then ${goOn}.`;
  return new DataError(message, { cause: error });
}
