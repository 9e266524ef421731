import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { DataError, UsageError } from "../errors.ts";
import { makeFolders, onDisk } from "../files/disk.ts";
import { type FolderLock, lockFolder } from "../files/lock.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../files/safetensors.ts";
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
 * @throws DataError naming the process that has it
 */
export async function lockCheckpoints(folder: string): Promise<FolderLock> {
  const again = "run the same command again";
  await onDisk(folder, () => makeFolders(folder), "out", again);
  const lock = await lockFolder(folder);
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
  const hash = createHash("sha256").update(text);
  const tensors = arrays.map(([name, data]): TensorToWrite => {
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return { name, dtype: "F32", shape: [data.length], data };
  });
  const path = join(folder, fileName);
  const temporary = join(folder, temporaryName);
  // Before the first checkpoint there is nothing to resume from.
  const goOn = existsSync(path)
    ? "resume with `resume: true` from the checkpoint that is there"
    : "run the same command again; it starts anew, as no step was saved";
  const save = async () => {
    await makeFolders(folder);
    try {
      await writeSafetensors(temporary, tensors, {
        format: checkpointFormat,
        meta: text,
        sha256: hash.digest("hex"),
      });
    } catch (error) {
      // Half a checkpoint would fill a full disk further.
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
    await rename(temporary, path);
    await syncFolder(folder);
  };
  await onDisk(folder, save, "out", goOn);
}

/** Makes a rename outlast a power cut, where the system lets a folder be synced. */
async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, "r").catch(() => undefined);
  await directory?.sync().catch(() => {});
  await directory?.close();
}

/**
 * The checkpoint in `folder`, or undefined without one: bit for bit the state that was saved.
 * @throws DataError when it is damaged or of another version of clp-dd
 */
export async function loadCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const path = join(folder, fileName);
  if (!existsSync(path)) return undefined;
  const damaged = (cause?: unknown) =>
    new DataError(
      `The checkpoint ${path} is damaged (cut short or changed). Delete ${folder} and start again without \`resume: true\`.`,
      { cause },
    );
  const file = await openSafetensors(path).catch((error: unknown) => {
    throw damaged(error);
  });
  try {
    if (file.metadata.format !== checkpointFormat) {
      throw new DataError(
        `The checkpoint ${path} was written by another version of clp-dd. Finish the run with that version, ` +
          `or delete ${folder} and start again without \`resume: true\`.`,
      );
    }
    const text = file.metadata.meta ?? "";
    const hash = createHash("sha256").update(text);
    const blocks = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) {
      const values = await file.float32(name);
      hash.update(new Uint8Array(values.buffer));
      blocks.set(name, values);
    }
    if (hash.digest("hex") !== file.metadata.sha256) throw damaged();
    return restoredRun(text, blocks);
  } finally {
    await file.close();
  }
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
