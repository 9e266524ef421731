import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import {
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { codeHash } from "./code-hash.ts";
import { makeFolders } from "./disk.ts";
import { sha256OfFiles } from "./hash.ts";
import type { Kept, KeptKey } from "./kept.ts";

/** Bytes of all entries: beyond, those that were not used for longest go. */
const mostBytes = 2 ** 31;
/** Entries, for the same reason: a folder with very many is slow to list. */
const mostEntries = 500;
/** What a process that was killed had begun is removed after this long. */
const abandonedMs = 3_600_000;

const prefix = "kept-";
const entryName = "entry";
const valueName = "value";

/** Keeps results in `folder`, which is made when there is something to keep. */
export function keptIn(folder: string, { bytes = mostBytes, entries = mostEntries } = {}): Kept {
  const placeOf = async (key: KeptKey) => {
    const text = JSON.stringify({ ...key, code: await codeHash() });
    const name = createHash("sha256").update(text).digest("hex").slice(0, 32);
    return { text, path: join(folder, `${prefix}${name}`) };
  };
  /** Puts an entry in its place; `write` fills its folder. */
  const keep = async (path: string, text: string, write: (into: string) => Promise<void>): Promise<void> => {
    const begun = `${path}.${randomUUID()}`;
    try {
      await makeFolders(folder);
      await mkdir(begun);
      await write(begun);
      await writeFile(join(begun, entryName), serialize(await described(text, begun)));
      // One that is there is damaged, or another process was faster.
      await rm(path, { recursive: true, force: true });
      await rename(begun, path);
      await removeOldest(folder, bytes, entries);
    } catch {
      await rm(begun, { recursive: true, force: true }).catch(() => {});
    }
  };
  return {
    async value<T>(key: KeptKey, make: () => Promise<T>) {
      const { text, path } = await placeOf(key);
      const found = await read(path, text, async (names) => {
        const bytes = await readFile(join(path, valueName));
        const sha256 = createHash("sha256").update(bytes).digest("hex");
        return names.get(valueName) === sha256 ? { value: deserialize(bytes) as T } : undefined;
      });
      if (found !== undefined) return found.value;
      const value = await make();
      await keep(path, text, (begun) => writeFile(join(begun, valueName), serialize(value)));
      return value;
    },
    async files(key, into, make) {
      const { text, path } = await placeOf(key);
      const found = await read(path, text, async (names) => {
        for (const name of names.keys()) await linkOrCopy(join(path, name), join(into, name));
        for (const [name, sha256] of names)
          if ((await sha256OfFiles(join(into, name))) !== sha256) return undefined;
        return true;
      });
      if (found) return;
      // Not written through links into an entry that is damaged.
      for (const name of await readdir(into)) await rm(join(into, name));
      await make();
      await keep(path, text, async (begun) => {
        for (const name of await readdir(into)) await linkOrCopy(join(into, name), join(begun, name));
      });
    },
  };
}

/** What an entry says of itself. */
interface Entry {
  readonly key: string;
  /** The sha256 of each of its files. */
  readonly files: ReadonlyMap<string, string>;
}

async function described(key: string, folder: string): Promise<Entry> {
  const files = new Map<string, string>();
  for (const name of await readdir(folder)) files.set(name, await sha256OfFiles(join(folder, name)));
  return { key, files };
}

/** What `take` makes of an entry's files, or undefined where the entry is absent, another's or damaged. */
async function read<T>(
  path: string,
  key: string,
  take: (files: ReadonlyMap<string, string>) => Promise<T | undefined>,
): Promise<T | undefined> {
  try {
    const entry = deserialize(await readFile(join(path, entryName))) as Entry;
    if (entry.key !== key) return undefined;
    const taken = await take(entry.files);
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    return taken;
  } catch {
    return undefined;
  }
}

/** Links are not to be had across file systems, and not everywhere within one. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_FICLONE));
}

async function removeOldest(folder: string, mostBytes: number, mostEntries: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix));
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const files = await readdir(path).catch(() => []);
      const sizes = await Promise.all(files.map((file) => stat(join(path, file)).catch(() => undefined)));
      const used = await stat(path).catch(() => undefined);
      const bytes = sizes.reduce((sum, size) => sum + (size?.size ?? 0), 0);
      return { path, bytes, used: used?.mtimeMs ?? 0, whole: !name.includes(".") };
    }),
  );
  const entries = found.filter(({ whole }) => whole).sort((a, b) => b.used - a.used);
  let bytes = 0;
  const tooMuch = entries.filter((entry, i) => {
    bytes += entry.bytes;
    return bytes > mostBytes || i >= mostEntries;
  });
  const abandoned = found.filter(({ whole, used }) => !whole && Date.now() - used > abandonedMs);
  for (const { path } of [...tooMuch, ...abandoned])
    await rm(path, { recursive: true, force: true }).catch(() => {});
}
