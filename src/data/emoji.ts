import { createHash } from "node:crypto";
import type { Item } from "../images/types.ts";
import { readEmojiArchive } from "./emoji-archive.ts";
import { type EmojiIcons, emojiIconsOfPackages, emojiSize, type Icon } from "./emoji-icons.ts";
import type { Emoji } from "./emoji-names.ts";
import { iconSets } from "./icon-sets.ts";
import {
  type ImageList,
  type ImageSource,
  requireSplit,
  type SourceLicense,
  type Split,
} from "./image-source.ts";

/** What an emoji's class is: its Unicode group, or its subgroup. */
export type EmojiGranularity = "groups" | "subgroups";

/** A subgroup is a class when the training sets draw it at least this often, which 56 of Unicode's 95 are. */
const leastTrainingImages = 40;

/**
 * The embedded data set: emoji as six icon sets draw them, four for training and two, by other hands, for test.
 * Classes are Unicode's 8 groups (all but "component" and "flags") or the 56 subgroups of these with 40 training
 * images or more. One icon per set and emoji; skin-tone variants and symbols that are not Unicode emojis are left out.
 *
 * The fingerprint covers class names, ids, labels, the icon sets' package versions and the size drawn at.
 * @param icons the drawings; by default those in the package or, in a clone, those of the installed icon sets
 * @throws DataError when there are neither
 */
export async function openEmoji(
  granularity: EmojiGranularity = "groups",
  icons?: EmojiIcons,
): Promise<ImageSource> {
  const drawn = icons ?? (await readEmojiArchive()) ?? (await emojiIconsOfPackages());
  const { classes, labelOf } = classesOf(drawn, granularity);
  const lists = new Map<Split, IconList>();
  for (const split of ["train", "test"] as const) {
    const ofSplit = drawn.icons.filter(
      (icon) => icon.set.split === split && labelOf(icon.emoji) !== undefined,
    );
    const labels = Int32Array.from(ofSplit, (icon) => labelOf(icon.emoji)!);
    lists.set(split, new IconList(ofSplit, labels, drawn));
  }
  return new EmojiSource(`emoji-${granularity}`, classes, lists, drawn.versions);
}

function classesOf({ icons, ...names }: EmojiIcons, granularity: EmojiGranularity) {
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
    classes: kept.map((index) => names[granularity][index]),
    labelOf: (emoji: Emoji) => labels.get(emoji[key]),
  };
}

class IconList implements ImageList {
  readonly length: number;
  readonly labels: Int32Array;
  readonly #icons: readonly Icon[];
  readonly #drawn: EmojiIcons;

  constructor(icons: readonly Icon[], labels: Int32Array, drawn: EmojiIcons) {
    this.length = icons.length;
    this.labels = labels;
    this.#icons = icons;
    this.#drawn = drawn;
  }

  at(index: number): Item {
    const icon = this.#icons[index];
    if (icon === undefined) throw new RangeError(`no image ${index}: there are ${this.length}`);
    return {
      id: `${icon.set.id}/${icon.name}`,
      label: this.labels[index],
      encoding: { kind: "svg", fixed: true },
      open: () => this.#drawn.svg(icon),
    };
  }
}

class EmojiSource implements ImageSource {
  readonly name: string;
  readonly classes: readonly string[];
  readonly splits: readonly Split[] = ["train", "test"];
  readonly notes: readonly string[];
  readonly licenses: readonly SourceLicense[] = iconSets.map(({ name, author, license, url }) => {
    return { name, author, spdx: license, url };
  });
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
