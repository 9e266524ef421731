import { rename, writeFile } from "node:fs/promises";

/** Writes a text under a temporary name, syncs and renames it: a kill leaves the old file or the new one. */
export async function writeAtomic(path: string, text: string): Promise<void> {
  await writeFile(`${path}.tmp`, text, { flush: true });
  await rename(`${path}.tmp`, path);
}
