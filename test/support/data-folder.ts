import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ImageSource, Split } from "../../src/data/image-source.ts";

/** A temporary folder whose files a test makes. */
export interface DataFolder {
  readonly path: string;
  /** Makes files, by path; those without contents hold their path. */
  files(contents: Readonly<Record<string, string | Uint8Array>> | readonly string[]): Promise<void>;
  remove(): Promise<void>;
}

export async function dataFolder(): Promise<DataFolder> {
  const path = await mkdtemp(join(tmpdir(), "clp-data-"));
  return {
    path,
    async files(contents) {
      const all = Array.isArray(contents)
        ? (contents as string[]).map((name) => [name, name] as const)
        : Object.entries(contents);
      for (const folder of new Set(all.map(([name]) => dirname(join(path, name))))) {
        await mkdir(folder, { recursive: true });
      }
      const together = 64;
      for (let i = 0; i < all.length; i += together) {
        const some = all.slice(i, i + together);
        await Promise.all(some.map(([name, content]) => writeFile(join(path, name), content)));
      }
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}

/** Path of a file that `tools/make_data_fixtures.py` made. */
export function dataFixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/data-sets/${name}`, import.meta.url));
}

/** "id label[ group]" of every image of a split. */
export function listing(source: ImageSource, split: Split): string[] {
  const images = source.images(split);
  return Array.from({ length: images.length }, (_, i) => {
    const { id, label, group } = images.at(i);
    return [id, label, ...(group === undefined ? [] : [group])].join(" ");
  });
}
