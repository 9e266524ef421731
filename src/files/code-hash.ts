import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

let known: Promise<string> | undefined;

/** The sha256 of this package's own code, in short: what was computed by other code is not taken for this one's. */
export function codeHash(): Promise<string> {
  known ??= hashOf(fileURLToPath(new URL("..", import.meta.url)));
  return known;
}

async function hashOf(root: string): Promise<string> {
  const names = (await readdir(root, { recursive: true }))
    .filter((name) => /\.(js|ts)$/.test(name) && !name.endsWith(".d.ts"))
    .sort();
  const hash = createHash("sha256");
  for (const name of names) {
    // Hundreds of small files: at once they take a tenth of the time.
    const content = readFileSync(join(root, name));
    hash.update(`${name} ${content.length}\n`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}
