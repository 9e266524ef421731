import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Dropped } from "../../bench/lib/chromium.ts";
import { makeFolders } from "../../src/files/disk.ts";

/** Writes files, such as those of a zip or of a folder to drop, into a folder. */
export async function writeDropped(folder: string, files: readonly Dropped[]): Promise<void> {
  for (const { path, bytes } of files) {
    await makeFolders(dirname(join(folder, path)));
    await writeFile(join(folder, path), bytes);
  }
}
