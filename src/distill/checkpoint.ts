import { existsSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.ts";
import { makeFolders, onDisk } from "../files/disk.ts";
import { type FolderLock, lockFolder, shareFolder } from "../files/lock.ts";
import { readHashed, writeHashed } from "./checkpoint-file.ts";
import {
  type Checkpoint,
  checkpointFormat,
  describeMismatch,
  type RunIdentity,
  restoredRun,
  savedRun,
} from "./run-state.ts";

const fileName = "checkpoint.safetensors";
const temporaryName = `${fileName}.tmp`;

/**
 * Locks the folder of a run's checkpoint, made where it is not there, against another run that would write the same;
 * the release removes it where it is empty.
 * @param note hears that a process which is ending is waited for
 * @throws DataError naming the process that has it
 */
export async function lockCheckpoints(folder: string, note?: (message: string) => void): Promise<FolderLock> {
  return held(folder, () => lockFolder(folder, note));
}

/** The same for one of many workers, which share the folder: others may have it too, but for a run alone. */
export async function shareCheckpoints(folder: string): Promise<FolderLock> {
  return held(folder, () => shareFolder(folder));
}

async function held(folder: string, take: () => Promise<FolderLock>): Promise<FolderLock> {
  await onDisk(folder, () => makeFolders(folder), "out", "run the same command again");
  const lock = await take();
  return {
    async release() {
      await lock.release();
      // Not where a checkpoint is in it, or where another run has already made it its own.
      await rmdir(folder).catch(() => {});
    },
  };
}

/** Throws UsageError for a checkpoint that a run would write over without having been asked to. */
export function requireNoCheckpoint(folder: string): void {
  if (!existsSync(join(folder, fileName))) return;
  throw new UsageError(
    `A run that was stopped left its checkpoint in ${folder}. Resume it with \`resume: true\`, ` +
      "or start again and replace it with `overwrite: true`.",
  );
}

/** Removes the checkpoint of a run that has ended, and half of one that a kill left. */
export async function removeCheckpoint(folder: string): Promise<void> {
  for (const name of [fileName, temporaryName]) await rm(join(folder, name), { force: true });
}

/** Writes a checkpoint under a temporary name and renames it: a kill leaves the old one or the new one. */
export async function saveCheckpoint(folder: string, checkpoint: Checkpoint): Promise<void> {
  const { text, arrays } = savedRun(checkpoint);
  const content = { text, arrays: new Map(arrays) };
  // Before the first checkpoint there is nothing to resume from.
  const goOn = existsSync(join(folder, fileName))
    ? "resume with `resume: true` from the checkpoint that is there"
    : "run the same command again; it starts anew, as no step was saved";
  await writeHashed(folder, fileName, checkpointFormat, content, { temporary: temporaryName, goOn });
}

/**
 * The checkpoint in `folder`, or undefined without one: bit for bit the state that was saved.
 * @throws DataError when it is damaged or of another version of clp-dd
 */
export async function loadCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const path = join(folder, fileName);
  if (!existsSync(path)) return undefined;
  const { text, arrays } = await readHashed(path, checkpointFormat);
  return restoredRun(text, arrays);
}

/**
 * Throws UsageError, naming what differs, unless the run that left a checkpoint is the one that would take it up.
 * @param folder of the checkpoint
 */
export function requireSameRun(saved: RunIdentity, now: RunIdentity, folder: string): void {
  const difference = describeMismatch(saved, now);
  if (difference === undefined) return;
  throw new UsageError(
    `The checkpoint in ${folder} is of another run. What differs: ${difference}. ` +
      "Resume with the settings it was started with, or start again with `overwrite: true` instead of `resume: true`.",
  );
}
