import type { Hash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { DataError, messageOf } from "../errors.ts";
import { readExactly } from "../files/read-exactly.ts";
import { mostImageBytes } from "../images/decode.ts";
import { readImageFile } from "../images/image-file.ts";
import type { Encoding, FileRange, Item } from "../images/types.ts";
import type { ImageList } from "./image-source.ts";

/** The image that is the whole of the file at `path`. */
export function fileItem(id: string, path: string, label: number, group?: number): Item {
  const encoding: Encoding = /\.svg$/i.test(path) ? { kind: "svg", fixed: false } : { kind: "raster" };
  return {
    id,
    label,
    encoding,
    file: { path },
    open: () => readImage(id, path),
    ...(group === undefined ? {} : { group }),
  };
}

async function readImage(id: string, path: string): Promise<Uint8Array> {
  try {
    return await readImageFile(path);
  } catch (cause) {
    throw new DataError(`${id} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Feeds ids, labels, groups and file sizes of images that are separate files into a fingerprint. */
export async function digestFiles(digest: Hash, list: ImageList): Promise<void> {
  const together = 64;
  for (let start = 0; start < list.length; start += together) {
    const items = Array.from({ length: Math.min(together, list.length - start) }, (_, i) =>
      list.at(start + i),
    );
    const sizes = await Promise.all(items.map((item) => sizeOf(item)));
    for (const [i, { id, label, group }] of items.entries()) {
      digest.update(JSON.stringify([id, label, sizes[i], ...(group === undefined ? [] : [group])]));
    }
  }
}

async function sizeOf(item: Item): Promise<number> {
  try {
    return (await stat(item.file!.path)).size;
  } catch (cause) {
    throw new DataError(`${item.id} is not there: ${messageOf(cause)}`, { cause });
  }
}

/** An image that is `length` bytes of a file at `start`. */
export function rangeItem(
  id: string,
  file: Required<FileRange>,
  encoding: Encoding,
  label: number,
  group?: number,
): Item {
  const base = { id, label, encoding, file, open: () => readRange(id, file) };
  return group === undefined ? base : { ...base, group };
}

/** Throws DataError when the file ends before the range does. */
async function readRange(id: string, { path, start, length }: Required<FileRange>): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    if (length > mostImageBytes)
      throw new Error(`it says to have ${length} bytes, more than any image that is read`);
    const bytes = Buffer.alloc(length);
    file = await open(path);
    return await readExactly(file, bytes, start, () => new Error(`${path} ends within it`));
  } catch (cause) {
    throw new DataError(`${id} cannot be read: ${messageOf(cause)}`, { cause });
  } finally {
    await file?.close();
  }
}
