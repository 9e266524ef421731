import { createHash, hash as hashOnce } from "node:crypto";
import { createReadStream } from "node:fs";
import { requireRegular } from "./regular-file.ts";

/** The hexadecimal sha256 of the contents of files, one after the other. Throws the system's error. */
export async function sha256OfFiles(...paths: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const path of paths) {
    await requireRegular(path);
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  }
  return hash.digest("hex");
}

/** The hexadecimal sha256 of a text in UTF-8. */
export const sha256OfText = (text: string): string => hashOnce("sha256", text);
