import { createHash } from "node:crypto";
import { open } from "node:fs/promises";

/** Which hash a file is known by: the SHA-256 of its content, or git's name of it (SHA-1 over its size and content). */
export type HashKind = "sha256" | "git";

export interface VerifyOptions {
  readonly kind?: HashKind;
  /** Called with the bytes read so far, where the file has to be read. */
  readonly onBytes?: ((done: number) => void) | undefined;
  /** Stops the reading: `hashOf` throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Large enough that reading takes the time, not the turns between reads. */
const pieceBytes = 2 ** 20;

/** Hashes of the files that this process has read whole, by what the system says of them: a change is a new file. */
const known = new Map<string, string>();

/**
 * The hexadecimal hash of a file's content, read once per process for as long as its size and times stay the same.
 * @throws the system's error
 */
export async function hashOf(
  path: string,
  { kind = "sha256", onBytes, signal }: VerifyOptions = {},
): Promise<string> {
  const file = await open(path);
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
    const key = [kind, dev, ino, size, mtimeNs, ctimeNs].join(":");
    const before = known.get(key);
    if (before !== undefined) return before;
    const hash = createHash(kind === "git" ? "sha1" : "sha256");
    if (kind === "git") hash.update(`blob ${size}\0`);
    let done = 0;
    const pieces = file.createReadStream({ autoClose: false, start: 0, highWaterMark: pieceBytes });
    for await (const piece of pieces as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      hash.update(piece);
      done += piece.length;
      onBytes?.(done);
    }
    const found = hash.digest("hex");
    known.set(key, found);
    return found;
  } finally {
    await file.close();
  }
}
