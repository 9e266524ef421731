import { readFile, stat } from "node:fs/promises";

/**
 * Throws where a path leads to what is neither a file nor a folder: opening a pipe waits for its writer, for ever where
 * there is none, and a device has no end.
 */
export async function requireRegular(path: string): Promise<void> {
  const info = await stat(path);
  if (!info.isFile() && !info.isDirectory())
    throw new Error("it is a pipe, a socket or a device, not a file");
}

/** The whole of a file. @throws the system's error, and for what is not a file */
export async function readRegular(path: string): Promise<Buffer> {
  await requireRegular(path);
  return readFile(path);
}
