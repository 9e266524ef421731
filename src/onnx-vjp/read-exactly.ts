import type { FileHandle } from "node:fs/promises";

/** Linux gives at most 2 GiB at once. */
const mostAtOnce = 2 ** 30;

/**
 * Fills `bytes` from a file's byte `position` on: one read may give less than was asked for.
 * @throws what `ended` makes of the byte that the file ends at, where it ends before
 */
export async function readExactly<Bytes extends Uint8Array>(
  file: FileHandle,
  bytes: Bytes,
  position: number,
  ended: (at: number) => Error,
): Promise<Bytes> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, mostAtOnce);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw ended(position + done);
    done += bytesRead;
  }
  return bytes;
}
