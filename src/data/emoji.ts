import { createHash } from "node:crypto";
import * as z from "zod";
import { DataError } from "../errors.ts";
import { readPackageJson } from "../files/package-json.ts";
import type { Item } from "../images/types.ts";
import { type Emoji, type EmojiNames, readEmojiNames } from "./emoji-names.ts";
import { type IconSet, iconSets } from "./icon-sets.ts";
import { type ImageList, type ImageSource, requireSplit, type Split } from "./source.ts";

/** Edge in pixels that every emoji is drawn at, on white, before an encoder's own preprocessing. */
const emojiSize = 128;

/** What an emoji's class is: its Unicode group, or its subgroup. */
export type EmojiGranularity = "groups" | "subgroups";

/** Flags are no class: the test sets hardly draw any. */
const flagsGroup = 9;

/** A subgroup is a class when the training sets draw it at least this often, which 56 of Unicode's 95 are. */
const leastTrainingImages = 40;

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
interface Icon {
  readonly set: IconSet;
  readonly name: string;
  readonly emoji: Emoji;
}

/**
 * The embedded data set: emoji as six icon sets draw them, four for training and two, by other hands, for test.
 * Classes are Unicode's 8 groups (all but "component" and "flags") or the 56 subgroups of these with 40 training
 * images or more. One icon per set and emoji; skin-tone variants and what is no Unicode emoji are left out.
 *
 * The fingerprint covers class names, ids, labels, the icon sets' package versions and the size drawn at.
 * Throws DataError when the icon sets are not installed.
 */
export async function openEmoji(granularity: EmojiGranularity = "groups"): Promise<ImageSource> {
  const names = await readEmojiNames();
  const icons = (await Promise.all(iconSets.map((set) => iconsOf(set, names)))).flat();
  const versions = await Promise.all(
    iconSets.map(
      async ({ id }) => (await readPackageJson(`@iconify-json/${id}/package.json`, Version)).version,
    ),
  );
  const { classes, labelOf } = classesOf(icons, granularity, names);
  const bodies = new Bodies(icons);
  const lists = new Map<Split, IconList>();
  for (const split of ["train", "test"] as const) {
    const ofSplit = icons.filter((icon) => icon.set.split === split && labelOf(icon.emoji) !== undefined);
    const labels = Int32Array.from(ofSplit, (icon) => labelOf(icon.emoji)!);
    lists.set(split, new IconList(ofSplit, labels, bodies));
  }
  return new EmojiSource(`emoji-${granularity}`, classes, lists, versions);
}

/** The icons of a set that draw an emoji, one for each emoji, in Unicode's order. */
async function iconsOf(set: IconSet, names: EmojiNames): Promise<Icon[]> {
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
    if (emoji !== undefined && emoji.group !== flagsGroup && !icons.has(emoji)) {
      icons.set(emoji, { set, name, emoji });
    }
  }
  return [...icons.values()].sort((a, b) => a.emoji.order - b.emoji.order);
}

function classesOf(icons: readonly Icon[], granularity: EmojiGranularity, names: EmojiNames) {
  const key = granularity === "groups" ? "group" : "subgroup";
  const counts = new Map<number, number>();
  for (const { set, emoji } of icons) {
    if (set.split === "train") counts.set(emoji[key], (counts.get(emoji[key]) ?? 0) + 1);
  }
  const kept = [...counts]
    .filter(([, count]) => granularity === "groups" || count >= leastTrainingImages)
    .map(([index]) => index)
    .sort((a, b) => a - b);
  const labels = new Map(kept.map((index, label) => [index, label]));
  return {
    classes: kept.map((index) => names[granularity][index]!),
    labelOf: (emoji: Emoji) => labels.get(emoji[key]),
  };
}

/**
 * The drawings. A set's file is read when the first of its icons is, and only the drawings in use are kept:
 * about 25 of the files' 59 MB when all are.
 */
class Bodies {
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

class IconList implements ImageList {
  readonly length: number;
  readonly labels: Int32Array;
  readonly #icons: readonly Icon[];
  readonly #bodies: Bodies;

  constructor(icons: readonly Icon[], labels: Int32Array, bodies: Bodies) {
    this.length = icons.length;
    this.labels = labels;
    this.#icons = icons;
    this.#bodies = bodies;
  }

  at(index: number): Item {
    const icon = this.#icons[index];
    if (icon === undefined) throw new RangeError(`no image ${index}: there are ${this.length}`);
    return {
      id: `${icon.set.id}/${icon.name}`,
      label: this.labels[index]!,
      encoding: { kind: "svg", fixed: true },
      open: () => this.#bodies.svg(icon),
    };
  }
}

class EmojiSource implements ImageSource {
  readonly name: string;
  readonly classes: readonly string[];
  readonly splits: readonly Split[] = ["train", "test"];
  readonly notes: readonly string[];
  readonly #lists: Map<Split, IconList>;
  readonly #versions: readonly string[];

  constructor(
    name: string,
    classes: readonly string[],
    lists: Map<Split, IconList>,
    versions: readonly string[],
  ) {
    this.name = name;
    this.classes = classes;
    this.#lists = lists;
    this.#versions = versions;
    const sets = (split: Split) => iconSets.filter((set) => set.split === split).map((set) => set.name);
    this.notes = [
      `${lists.get("train")!.length} training images of ${sets("train").join(", ")} and ` +
        `${lists.get("test")!.length} test images of ${sets("test").join(", ")}, ` +
        `drawn at ${emojiSize} pixels on white.`,
    ];
  }

  images(split: Split): ImageList {
    requireSplit(this, split);
    return this.#lists.get(split)!;
  }

  async fingerprint(split: Split): Promise<string> {
    const list = this.images(split);
    const digest = createHash("sha256");
    const versions = iconSets.map(({ id }, i) => [id, this.#versions[i]]);
    digest.update(JSON.stringify(["emoji icons", emojiSize, versions, this.classes]));
    for (let i = 0; i < list.length; i++) digest.update(JSON.stringify([list.at(i).id, list.labels[i]]));
    return digest.digest("hex");
  }
}
