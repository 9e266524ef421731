import * as z from "zod";
import { readPackageJson } from "../files/package-json.ts";

/** One emoji of the Unicode standard, its variants in skin tone not counted apart. */
export interface Emoji {
  /** Code points in hexadecimal with "-" between, without the variation selector FE0F. */
  readonly code: string;
  /** Place in Unicode's own order. */
  readonly order: number;
  /** Indices into Unicode's groups and subgroups as emojibase-data numbers them. */
  readonly group: number;
  readonly subgroup: number;
}

/** The emoji of the Unicode standard, found by code points or by the names that icon sets give them. */
export interface EmojiNames {
  /** Group and subgroup names by index, such as "food-drink" and "food-fruit". */
  readonly groups: Readonly<Record<string, string>>;
  readonly subgroups: Readonly<Record<string, string>>;
  /** The emoji with these code points; undefined for skin-tone variants and what is not an emoji. */
  byCode(code: string): Emoji | undefined;
  /** The emoji that a name stands for, whatever its spaces, hyphens and case; undefined when none or several. */
  byName(name: string): Emoji | undefined;
}

/** Skin tones and hair styles: pieces of emoji, in no set drawn for themselves. */
const componentGroup = 2;

const Groups = z.object({
  groups: z.record(z.string(), z.string()),
  subgroups: z.record(z.string(), z.string()),
});
const EmojiData = z.array(
  z.object({
    hexcode: z.string(),
    label: z.string(),
    order: z.number().optional(),
    group: z.number().optional(),
    subgroup: z.number().optional(),
  }),
);
const UnicodeNames = z.record(z.string(), z.string());
const Shortcodes = z.record(z.string(), z.union([z.string(), z.array(z.string())]));
const shortcodePresets = ["cldr", "emojibase", "joypixels", "github", "iamcal"];

/** Reads emojibase-data: its labels, the Unicode standard's formal names, and the short codes people type. */
export async function readEmojiNames(): Promise<EmojiNames> {
  const { groups, subgroups } = await readPackageJson("emojibase-data/meta/groups.json", Groups);
  const data = await readPackageJson("emojibase-data/en/data.json", EmojiData);
  const formal = await readPackageJson("emojibase-data/meta/unicode-names.json", UnicodeNames);
  const shortcodes = await Promise.all(
    shortcodePresets.map((preset) =>
      readPackageJson(`emojibase-data/en/shortcodes/${preset}.json`, Shortcodes),
    ),
  );

  const byCode = new Map<string, Emoji>();
  // The kinds of names from the most to the least reliable: a name is looked for in one after the other.
  const labels = new NameTable();
  const formalNames = new NameTable();
  const typedNames = new NameTable();
  for (const { hexcode, label, order, group, subgroup } of data) {
    if (order === undefined || group === undefined || subgroup === undefined || group === componentGroup) {
      continue;
    }
    const emoji: Emoji = { code: normalizeCode(hexcode), order, group, subgroup };
    byCode.set(emoji.code, emoji);
    labels.add(label, emoji);
    const name = formal[hexcode] ?? formal[emoji.code];
    if (name !== undefined) formalNames.add(name, emoji);
  }
  for (const preset of shortcodes) {
    for (const [hexcode, names] of Object.entries(preset)) {
      const emoji = byCode.get(normalizeCode(hexcode));
      if (emoji !== undefined) for (const name of [names].flat()) typedNames.add(name, emoji);
    }
  }
  const tables = [labels, formalNames, typedNames];
  return {
    groups,
    subgroups,
    byCode: (code) => byCode.get(normalizeCode(code)),
    byName: (name) => tables.find((table) => table.has(name))?.get(name),
  };
}

/** Names to emoji; a name that stands for two emoji stands for none. */
class NameTable {
  readonly #entries = new Map<string, Emoji | null>();

  add(name: string, emoji: Emoji): void {
    const key = bareLetters(name);
    const known = this.#entries.get(key);
    if (key !== "" && known !== emoji) this.#entries.set(key, known === undefined ? emoji : null);
  }

  has(name: string): boolean {
    return this.#entries.has(bareLetters(name));
  }

  get(name: string): Emoji | undefined {
    return this.#entries.get(bareLetters(name)) ?? undefined;
  }
}

/** Letters and digits alone: icon sets write "rolled-up newspaper" with hyphens, underscores or nothing. */
function bareLetters(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll("&", "and")
    .replace(/[^a-z0-9]+/g, "");
}

/** Sets disagree on where the variation selector FE0F goes. */
function normalizeCode(code: string): string {
  return code
    .toUpperCase()
    .split("-")
    .filter((point) => point !== "FE0F")
    .join("-");
}
