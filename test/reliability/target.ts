import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openDataSet } from "../../src/data/open-data-set.ts";
import { decodeImage } from "../../src/images/decode.ts";
import { Preprocessing } from "../../src/images/preprocess.ts";
import type { Mutator } from "./mutate.ts";

/** A parser of files from outside. */
export interface Target {
  readonly mutate: Mutator;
  /** Good inputs to start from. */
  corpus(folder: string): Promise<Uint8Array[]>;
  /**
   * Reads an input. An error of this project's own means that it was refused.
   * @returns what came of it where every byte is covered by a hash: an input that is accepted must give what the whole one did
   */
  read(bytes: Uint8Array, folder: string): Promise<unknown>;
  /** Whether what `read` gives must be that of the input which was changed. */
  readonly hashed?: true;
  /** Its share of a campaign's time, relative to others (default: 1). */
  readonly weight?: number;
}

const fixtures = join(process.cwd(), "test/fixtures");

/** Files of the fixtures by name. */
export const files = (...names: readonly string[]): Promise<Uint8Array[]> =>
  Promise.all(names.map(async (name) => new Uint8Array(await readFile(join(fixtures, name)))));

/** Files of the fixtures, by the end of their names, that are small enough to be changed many times. */
export async function smallFiles(end: RegExp, most = 40_000): Promise<Uint8Array[]> {
  const names = (await readdir(fixtures, { recursive: true })).filter((name) => end.test(name)).sort();
  const found = await files(...names);
  return found.filter(({ length }) => length > 0 && length <= most).slice(0, 60);
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const bytesOf = (value: string): Uint8Array => new TextEncoder().encode(value);
export const jsonBytes = (value: unknown): Uint8Array => bytesOf(JSON.stringify(value));

export const plain = Preprocessing.parse({ resize: 8, crop: [8, 8], mean: [0, 0, 0], std: [1, 1, 1] });

/**
 * Writes an input as a new file: what a program knows of a file by its number and times must not be known of the next.
 * @returns its path
 */
export function placed(path: string, bytes: Uint8Array): string {
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

/** Opens a folder as a data set and decodes an image of each split. */
export async function openSet(folder: string): Promise<void> {
  const source = await openDataSet(folder);
  for (const split of source.splits) {
    const images = source.images(split);
    if (images.length === 0) continue;
    const item = images.at(images.length - 1);
    await decodeImage(item.id, await item.open(), item.encoding);
  }
}

/** A data set whose file `name` is the input, beside others that are as they should be. */
export function setOf(
  name: string,
  mutate: Mutator,
  corpus: Target["corpus"],
  beside: Readonly<Record<string, Uint8Array>> = {},
): Target {
  let set: string | undefined;
  return {
    mutate,
    corpus,
    async read(bytes, folder) {
      if (set === undefined) {
        set = join(folder, `set of ${name}`);
        for (const [other, content] of Object.entries(beside)) placed(join(set, other), content);
      }
      placed(join(set, name), bytes);
      await openSet(set);
    },
  };
}
