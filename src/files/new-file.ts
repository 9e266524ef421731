import { writeFile } from "node:fs/promises";
import { extname, join } from "node:path";

/** Writes a file under a name that nothing has: "a.png", else "a (2).png". Nothing is overwritten. @returns its path */
export async function writeNewFile(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const extension = extname(name);
  const stem = name.slice(0, name.length - extension.length);
  for (let number = 1; ; number++) {
    const path = join(folder, `${stem}${number === 1 ? "" : ` (${number})`}${extension}`);
    try {
      await writeFile(path, bytes, { flag: "wx" });
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}
