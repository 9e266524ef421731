import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError } from "../errors.ts";
import { makeFolders, onDisk } from "../files/disk.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../files/safetensors.ts";
import type { AdamBlock } from "../synthetic/adam.ts";
import { checkpointHead } from "./run-state.ts";

/** Numbers with what is said of them. */
export interface HashedArrays {
  /** JSON. */
  readonly text: string;
  readonly arrays: ReadonlyMap<string, Float32Array>;
}

/** The arrays of an Adam block, by their names in a file. */
export const blockArrays = (name: string, block: AdamBlock): [string, Float32Array][] =>
  (["values", "first", "second"] as const).map((part) => [`${name}/${part}`, block[part]]);

/** The Adam block whose arrays were written as `blockArrays` names them. */
export const blockOf = (arrays: ReadonlyMap<string, Float32Array>, name: string): AdamBlock => ({
  values: arrays.get(`${name}/values`)!,
  first: arrays.get(`${name}/first`)!,
  second: arrays.get(`${name}/second`)!,
});

export interface WriteHashedOptions {
  /** A name that no other writer has (default: the file's with `.tmp` behind it). */
  readonly temporary?: string;
  /** Asked right before the rename; where it says no, nothing is left (default: yes). */
  readonly mayWrite?: () => Promise<boolean>;
  /** What to do once the disk can be written again, for the error. */
  readonly goOn?: string;
}

/**
 * Writes arrays and their hash under a temporary name and renames the file: a kill leaves the old one or the new one.
 */
export async function writeHashed(
  folder: string,
  name: string,
  format: string,
  { text, arrays }: HashedArrays,
  { temporary = `${name}.tmp`, mayWrite = async () => true, goOn }: WriteHashedOptions = {},
): Promise<void> {
  const tensors = [...arrays].map(
    ([name, data]): TensorToWrite => ({ name, dtype: "F32", shape: [data.length], data }),
  );
  const head = tensors.map((tensor) => [tensor.name, tensor] as const);
  const hash = createHash("sha256").update(checkpointHead(text, head));
  for (const { buffer, byteOffset, byteLength } of arrays.values())
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  const path = join(folder, temporary);
  const write = async () => {
    await makeFolders(folder);
    try {
      await writeSafetensors(path, tensors, { format, meta: text, sha256: hash.digest("hex") });
      if (!(await mayWrite())) {
        await rm(path, { force: true });
        return;
      }
    } catch (error) {
      // Half a checkpoint would fill a full disk further.
      await rm(path, { force: true }).catch(() => {});
      throw error;
    }
    await rename(path, join(folder, name));
    await syncFolder(folder);
  };
  await onDisk(folder, write, "out", goOn);
}

/** Makes a rename outlast a power cut, where the system lets a folder be synced. */
async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, "r").catch(() => undefined);
  await directory?.sync().catch(() => {});
  await directory?.close();
}

/**
 * Reads what `writeHashed` wrote.
 * @throws DataError when the file is damaged or of another version of clp-dd
 */
export async function readHashed(path: string, format: string): Promise<HashedArrays> {
  const folder = dirname(path);
  const damaged = (cause?: unknown) =>
    new DataError(
      `The checkpoint ${path} is damaged (cut short or changed). Delete ${folder} and start again without \`resume: true\`.`,
      { cause },
    );
  const file = await openSafetensors(path).catch((error: unknown) => {
    throw damaged(error);
  });
  try {
    if (file.metadata.format !== format) {
      throw new DataError(
        `The checkpoint ${path} was written by another version of clp-dd. Finish the run with that version, ` +
          `or delete ${folder} and start again without \`resume: true\`.`,
      );
    }
    const text = file.metadata.meta ?? "";
    const hash = createHash("sha256").update(checkpointHead(text, file.tensors));
    const arrays = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) {
      const values = await file.float32(name).catch((error: unknown) => {
        throw damaged(error);
      });
      hash.update(new Uint8Array(values.buffer));
      arrays.set(name, values);
    }
    if (hash.digest("hex") !== file.metadata.sha256) throw damaged();
    return { text, arrays };
  } finally {
    await file.close();
  }
}
