import { type FileHandle, open, stat } from "node:fs/promises";
import { readExactly } from "./read-exactly.ts";

/**
 * The whole of a file of at most `most` bytes, after a look at its beginning: nothing is read of a file that is longer,
 * or of what is not a file (a pipe would never end).
 * @param look throws where the first bytes, `headBytes` of them at most, are not those of the wanted format
 * @throws Error saying what is wrong
 */
export async function readBounded(
  path: string,
  most: number,
  look?: (head: Uint8Array, size: number) => void,
  headBytes = 128,
): Promise<Buffer> {
  // Opening a pipe would wait for its writer.
  const info = await stat(path);
  if (!info.isFile()) throw new Error("it is not a file");
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const ended = (at: number) => new Error(`it ends at byte ${at}`);
    if (look)
      look(await readExactly(file, Buffer.alloc(Math.min(headBytes, info.size)), 0, ended), info.size);
    if (info.size > most) {
      throw new Error(`it has ${info.size} bytes, more than the ${most} that such a file may have`);
    }
    return (await readExactly(file, Buffer.alloc(info.size), 0, ended)) as Buffer;
  } finally {
    await file?.close();
  }
}
