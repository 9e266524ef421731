import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants } from "node:zlib";
import * as z from "zod";
import { DataError, messageOf } from "../errors.ts";
import { makeFolders } from "../files/disk.ts";
import type { EmojiIcons, Icon } from "./emoji-icons.ts";
import { iconSets } from "./icon-sets.ts";

// The npm package has the drawings in an archive of 5 MB, made from the icon sets' packages, which take 110 MB.

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);

/** Where the package has the archive: beside this module. A clone has none and reads the icon sets' packages. */
const packaged = new URL("./emoji-icons/", import.meta.url);

const indexName = "index.json";
const drawingsName = (id: string): string => `${id}.json.br`;

const Names = z.record(z.string(), z.string());
const Index = z.object({
  groups: Names,
  subgroups: Names,
  sets: z.array(
    z.object({
      id: z.enum(iconSets.map((set) => set.id)),
      version: z.string(),
      icons: z.array(
        z.object({
          name: z.string(),
          emoji: z.object({ code: z.string(), order: z.number(), group: z.number(), subgroup: z.number() }),
        }),
      ),
    }),
  ),
});
const Documents = z.array(z.string());

/** Writes the archive into a folder: an index, and one compressed file of SVG documents per icon set. */
export async function writeEmojiArchive(folder: URL, from: EmojiIcons): Promise<void> {
  await makeFolders(fileURLToPath(folder));
  const sets = [];
  for (const [i, set] of iconSets.entries()) {
    const icons = from.icons.filter((icon) => icon.set.id === set.id);
    const documents: string[] = [];
    for (const icon of icons) documents.push(new TextDecoder().decode(await from.svg(icon)));
    const json = Buffer.from(JSON.stringify(documents));
    const params = {
      [constants.BROTLI_PARAM_QUALITY]: 5,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: json.length,
    };
    await writeFile(new URL(drawingsName(set.id), folder), await compress(json, { params }));
    sets.push({
      id: set.id,
      version: from.versions[i],
      icons: icons.map(({ name, emoji }) => ({ name, emoji })),
    });
  }
  const { groups, subgroups } = from;
  const index: z.infer<typeof Index> = { groups: { ...groups }, subgroups: { ...subgroups }, sets };
  await writeFile(new URL(indexName, folder), JSON.stringify(index));
}

/**
 * Opens the archive in a folder; undefined when there is none. A set's drawings are read when the first of them is.
 * @throws DataError when the archive cannot be read
 */
export async function readEmojiArchive(folder: URL = packaged): Promise<EmojiIcons | undefined> {
  let text: string;
  try {
    text = await readFile(new URL(indexName, folder), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw damaged(folder, error);
  }
  const { groups, subgroups, sets } = parsed(folder, Index, text);
  const places = new Map<Icon, number>();
  const icons = sets.flatMap((listed) => {
    const set = iconSets.find(({ id }) => id === listed.id)!;
    return listed.icons.map(({ name, emoji }, place) => {
      const icon = { set, name, emoji };
      places.set(icon, place);
      return icon;
    });
  });
  const documents = new Map<string, Promise<string[]>>();
  return {
    groups,
    subgroups,
    icons,
    versions: sets.map((set) => set.version),
    async svg(icon) {
      const { id } = icon.set;
      const reading = documents.get(id) ?? readDocuments(folder, id);
      documents.set(id, reading);
      const document = (await reading)[places.get(icon)!];
      if (document === undefined) throw damaged(folder, new Error(`${id}/${icon.name} is not drawn`));
      return new TextEncoder().encode(document);
    },
  };
}

async function readDocuments(folder: URL, id: string): Promise<string[]> {
  try {
    const packed = await readFile(new URL(drawingsName(id), folder));
    return Documents.parse(JSON.parse((await decompress(packed)).toString("utf8")));
  } catch (error) {
    throw damaged(folder, error);
  }
}

function parsed<T>(folder: URL, schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(folder, error);
  }
}

const damaged = (folder: URL, cause: unknown): DataError =>
  new DataError(
    `the embedded emoji set in ${folder.pathname} cannot be read: ${messageOf(cause)}. Install clp-dd again.`,
    { cause },
  );
