import { open } from "node:fs/promises";
import { DataError, messageOf } from "../errors.ts";
import { readExactly } from "../files/read-exactly.ts";
import { type DecodeOptions, decodeImage, mostImageBytes } from "../images/decode.ts";
import { readImageFile } from "../images/image-file.ts";
import type { Encoding, FileRange, Item, RgbImage } from "../images/types.ts";

/** An image for another thread or process to decode: where its bytes are, or why there are none. */
export interface DecodeItem {
  readonly id: string;
  readonly encoding: Encoding;
  readonly bytes: Uint8Array | FileRange | { readonly failed: string };
}

/** Items whose bytes are in a file are left to whoever decodes them; the others are read here. */
export async function withBytes(item: Item): Promise<DecodeItem> {
  const { id, encoding, file } = item;
  if (file !== undefined) return { id, encoding, bytes: file };
  try {
    return { id, encoding, bytes: await item.open() };
  } catch (error) {
    return { id, encoding, bytes: { failed: messageOf(error) } };
  }
}

async function read(item: DecodeItem): Promise<Uint8Array> {
  const { bytes } = item;
  if (bytes instanceof Uint8Array) return bytes;
  if ("failed" in bytes) throw new DataError(bytes.failed);
  if (bytes.length === undefined) return readImageFile(bytes.path);
  if (bytes.length > mostImageBytes) {
    throw new DataError(`${item.id} says to have ${bytes.length} bytes, more than any image that is read`);
  }
  const file = await open(bytes.path);
  try {
    const ended = () => new DataError(`${bytes.path} ends within ${item.id}`);
    return await readExactly(file, Buffer.alloc(bytes.length), bytes.start ?? 0, ended);
  } finally {
    await file.close();
  }
}

/** An image, or why there is none: a promise that never rejects, since it is awaited late. */
export async function decoded(
  item: DecodeItem,
  options: DecodeOptions,
): Promise<RgbImage | { failed: string }> {
  try {
    return await decodeImage(item.id, await read(item), item.encoding, options);
  } catch (error) {
    return { failed: messageOf(error) };
  }
}
