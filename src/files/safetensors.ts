import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { DataError, messageOf } from "../errors.ts";
import { readExactly } from "./read-exactly.ts";
import { requireRegular } from "./regular-file.ts";
import {
  damagedFile,
  parseSafetensorsHeader,
  type SafetensorsFile,
  type SafetensorsType,
  safetensorsFile,
  safetensorsHead,
  safetensorsHeaderLength,
  type TensorToWrite,
  safetensorsWidths as widths,
} from "./safetensors-header.ts";

export type { SafetensorsFile, SafetensorsType, TensorToWrite };

/**
 * Writes a safetensors file (https://github.com/huggingface/safetensors), streaming, and syncs it.
 * Returns its sha256. Tensors are in the order given.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<string> {
  const head = safetensorsHead(tensors, metadata);
  const file = await open(path, "w");
  const hash = createHash("sha256");
  try {
    await append(file, hash, head);
    for (const { name, dtype, shape, data } of tensors) {
      let written = 0;
      const pieces = ArrayBuffer.isView(data) ? [data] : typeof data === "function" ? data() : data;
      for await (const piece of pieces) written += await append(file, hash, piece);
      const expected = widths[dtype] * shape.reduce((product, d) => product * d, 1);
      if (written !== expected) throw new Error(`${name} has ${written} bytes, its shape says ${expected}`);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

async function append(file: FileHandle, hash: Hash, view: ArrayBufferView): Promise<number> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  hash.update(bytes);
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
  return bytes.length;
}

/** Opens a safetensors file. Throws DataError for a header or offsets that do not fit the file. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  let file: FileHandle;
  try {
    await requireRegular(path);
    file = await open(path, "r");
  } catch (error) {
    throw new DataError(`${path} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  try {
    const { size } = await file.stat();
    const bytesAt = (offset: number, length: number, what: string) =>
      readExactly(file, new Uint8Array(length), offset, () => damagedFile(path, `${what} ends early`));
    const length = safetensorsHeaderLength(path, await bytesAt(0, Math.min(8, size), "it"), size);
    const header = await bytesAt(8, length, "its header");
    return safetensorsFile(
      path,
      parseSafetensorsHeader(path, header, size),
      (name, { offset, bytes }) => bytesAt(offset, bytes, `the tensor "${name}"`),
      () => file.close(),
    );
  } catch (error) {
    await file.close();
    throw error;
  }
}
