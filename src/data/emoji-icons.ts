import * as z from "zod";
import { DataError } from "../errors.ts";
import { readPackageJson } from "../files/package-json.ts";
import { type Emoji, type EmojiNames, readEmojiNames } from "./emoji-names.ts";
import { type IconSet, iconSets } from "./icon-sets.ts";

/** Edge in pixels that every emoji is drawn at, on white, before an encoder's own preprocessing. */
export const emojiSize = 128;

const flagsGroup = 9;

/** Flags are no class: the test sets hardly draw any. */
export const isFlag = ({ group }: Emoji): boolean => group === flagsGroup;

const Chars = z.record(z.string(), z.string());
const Metadata = z.object({ categories: z.record(z.string(), z.array(z.string())) });
const Version = z.object({ version: z.string() });
const Icons = z.object({
  width: z.number(),
  height: z.number(),
  icons: z.record(
    z.string(),
    z.object({ body: z.string(), width: z.number().optional(), height: z.number().optional() }),
  ),
});

/** An icon that draws a known emoji. */
export interface Icon {
  readonly set: IconSet;
  readonly name: string;
  readonly emoji: Emoji;
}

/** The emoji that the icon sets draw. */
export interface EmojiIcons extends Pick<EmojiNames, "groups" | "subgroups"> {
  /** One icon per set and emoji: by set, then in Unicode's order. */
  readonly icons: readonly Icon[];
  /** Versions of the sets' packages, in the order of `iconSets`. */
  readonly versions: readonly string[];
  /** The drawing, an SVG document. */
  svg(icon: Icon): Promise<Uint8Array>;
}

/**
 * Reads the installed packages of the icon sets, and the names of emoji.
 * Throws DataError when they are not installed.
 * @param wanted which emoji (default: all but flags)
 */
export async function emojiIconsOfPackages(
  wanted: (emoji: Emoji) => boolean = (emoji) => !isFlag(emoji),
): Promise<EmojiIcons> {
  const names = await readEmojiNames();
  const icons = (await Promise.all(iconSets.map((set) => iconsOf(set, names, wanted)))).flat();
  const versions = await Promise.all(
    iconSets.map(
      async ({ id }) => (await readPackageJson(`@iconify-json/${id}/package.json`, Version)).version,
    ),
  );
  const drawings = new Drawings(icons);
  const { groups, subgroups } = names;
  return { groups, subgroups, icons, versions, svg: (icon) => drawings.svg(icon) };
}

/** The icons of a set that draw an emoji, one for each emoji, in Unicode's order. */
async function iconsOf(set: IconSet, names: EmojiNames, wanted: (emoji: Emoji) => boolean): Promise<Icon[]> {
  const chars = await readPackageJson(`@iconify-json/${set.id}/chars.json`, Chars);
  const { categories } = await readPackageJson(`@iconify-json/${set.id}/metadata.json`, Metadata);
  const codes = new Map<string, string[]>();
  for (const [code, name] of Object.entries(chars)) codes.set(name, [...(codes.get(name) ?? []), code]);

  // A set that says which code points its icons stand for is believed; the others' icons go by their names.
  const emojiOf = (name: string) =>
    codes.size === 0
      ? names.byName(name)
      : codes
          .get(name)
          ?.map((code) => names.byCode(code))
          .find((emoji) => emoji !== undefined);
  const icons = new Map<Emoji, Icon>();
  for (const name of Object.values(categories).flat()) {
    const emoji = emojiOf(name);
    if (emoji !== undefined && wanted(emoji) && !icons.has(emoji)) {
      icons.set(emoji, { set, name, emoji });
    }
  }
  return [...icons.values()].sort((a, b) => a.emoji.order - b.emoji.order);
}

/**
 * The drawings. A set's file is read when the first of its icons is, and only the drawings in use are kept:
 * about 25 of the files' 59 MB when all are.
 */
class Drawings {
  readonly #wanted = new Map<string, Set<string>>();
  readonly #sets = new Map<string, Promise<Map<string, string>>>();

  constructor(icons: readonly Icon[]) {
    for (const { set, name } of icons) {
      const names = this.#wanted.get(set.id) ?? new Set();
      this.#wanted.set(set.id, names.add(name));
    }
  }

  async svg({ set, name }: Icon): Promise<Uint8Array> {
    let drawings = this.#sets.get(set.id);
    if (drawings === undefined) {
      drawings = this.#read(set);
      this.#sets.set(set.id, drawings);
    }
    const drawing = (await drawings).get(name);
    if (drawing === undefined) {
      throw new DataError(
        `the icon set ${set.id} lists ${name} but does not draw it. Install the packages again with \`npm ci\`.`,
      );
    }
    return new TextEncoder().encode(drawing);
  }

  async #read(set: IconSet): Promise<Map<string, string>> {
    const file = await readPackageJson(`@iconify-json/${set.id}/icons.json`, Icons);
    const drawings = new Map<string, string>();
    for (const name of this.#wanted.get(set.id) ?? []) {
      const icon = file.icons[name];
      if (icon === undefined) continue;
      const box = `0 0 ${icon.width ?? file.width} ${icon.height ?? file.height}`;
      drawings.set(
        name,
        `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
          `width="${emojiSize}" height="${emojiSize}" viewBox="${box}">${icon.body}</svg>`,
      );
    }
    return drawings;
  }
}
