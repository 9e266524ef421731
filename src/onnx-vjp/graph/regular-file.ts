import { open, readFile, stat } from "node:fs/promises";

/**
 * Throws where a path leads to what is neither a file nor a folder: opening a pipe waits for its writer, for ever where
 * there is none, and a device has no end.
 * @returns its size in bytes
 */
export async function requireRegular(path: string): Promise<number> {
  const info = await stat(path);
  if (!info.isFile() && !info.isDirectory())
    throw new Error("it is a pipe, a socket or a device, not a file");
  return info.size;
}

/**
 * The whole of a file.
 * @param look throws where the first byte is not one of the wanted format's: a file of another may have any size
 * @throws the system's error, and for what is not a file
 */
export async function readRegular(path: string, look?: (first: number | undefined) => void): Promise<Buffer> {
  await requireRegular(path);
  if (look !== undefined) look(await firstByte(path));
  return readFile(path);
}

async function firstByte(path: string): Promise<number | undefined> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(1), 0, 1, 0);
    return bytesRead === 0 ? undefined : buffer[0];
  } finally {
    await file.close();
  }
}
