// The set to try in the page of `clp-dd app`: drawings of one icon set whose license allows to pass them on, as one picture
// of tiles with their classes, and the license beside it. It is made into node_modules/.cache, from which Vite takes it.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import sharp from "sharp";

/** Classes of the set by Unicode's subgroups. */
const classes = {
  animals: ["animal-mammal", "animal-bird", "animal-marine", "animal-bug", "animal-reptile"],
  buildings: ["place-building", "place-religious"],
  clothing: ["clothing"],
  faces: ["face-smiling", "face-affection", "face-neutral-skeptical", "face-concerned", "face-negative"],
  food: ["food-fruit", "food-vegetable", "food-prepared", "food-sweet"],
  vehicles: ["transport-ground", "transport-water", "transport-air"],
};
const each = 24;
/** Side of a tile: more than the encoder sees of it only makes the file larger. */
const side = 96;
const columns = 12;

/**
 * @param {URL} folder ends in "/"
 * @param {import("../dist/data/emoji-icons.js").EmojiIcons} emoji
 * @param {URL} license the text of the icon set's license, the Apache License
 */
export async function writeReadySet(folder, { icons, subgroups, svg }, license) {
  await mkdir(folder, { recursive: true });
  const [set] = icons.filter(({ set }) => set.id === "noto").map((icon) => icon.set);
  const chosen = Object.entries(classes).flatMap(([name, groups]) => {
    const own = icons.filter(
      (icon) => icon.set === set && groups.includes(subgroups[String(icon.emoji.subgroup)]),
    );
    // Evenly from all of them: neighbors in Unicode's order look alike.
    const count = Math.min(each, own.length);
    return Array.from({ length: count }, (_, i) => ({ name, icon: own[Math.floor((i * own.length) / count)] }));
  });
  const tiles = await Promise.all(
    chosen.map(async ({ icon }, i) => ({
      input: await sharp(Buffer.from(await svg(icon))).resize(side, side).png().toBuffer(),
      left: (i % columns) * side,
      top: Math.floor(i / columns) * side,
    })),
  );
  const height = Math.ceil(tiles.length / columns) * side;
  const picture = await sharp({ create: { width: columns * side, height, channels: 3, background: "#fff" } })
    .composite(tiles)
    .webp({ quality: 85 })
    .toBuffer();
  await writeFile(new URL("emoji.webp", folder), picture);
  const { name, author, license: spdx, url } = set;
  const index = {
    ...{ side, columns, license: { name, author, spdx, url } },
    tiles: chosen.map(({ name, icon }) => ({ class: name, name: icon.name })),
  };
  await writeFile(new URL("emoji.json", folder), JSON.stringify(index));
  const head = `emoji.webp has ${chosen.length} drawings of ${name} (${url}), by ${author}, drawn at ${side} × ${side} pixels on white, under this license:\n\n`;
  await writeFile(new URL("LICENSE.txt", folder), head + (await readFile(license, "utf8")));
}
