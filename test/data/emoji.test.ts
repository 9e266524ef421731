import { beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { openEmoji } from "../../src/data/emoji.ts";
import { readEmojiNames } from "../../src/data/emoji-names.ts";
import { iconSets } from "../../src/data/icon-sets.ts";
import { classCounts, type ImageSource, type Split } from "../../src/data/image-source.ts";
import { DataError } from "../../src/errors.ts";
import { readPackageJson } from "../../src/files/package-json.ts";

let groups: ImageSource;
let subgroups: ImageSource;
beforeAll(async () => {
  groups = await openEmoji("groups");
  subgroups = await openEmoji("subgroups");
});
const idsOf = (source: ImageSource, split: Split) =>
  Array.from({ length: source.images(split).length }, (_, i) => source.images(split).at(i).id);
function classOf(source: ImageSource, id: string): string | undefined {
  for (const split of source.splits) {
    const at = idsOf(source, split).indexOf(id);
    if (at >= 0) return source.classes[source.images(split).labels[at]];
  }
  return undefined;
}

describe("the emoji data set", () => {
  it("has Unicode's groups without components and flags as classes", () => {
    expect(groups.classes).toEqual([
      "smileys-emotion",
      "people-body",
      "animals-nature",
      "food-drink",
      "travel-places",
      "activities",
      "objects",
      "symbols",
    ]);
  });

  it("has the 56 subgroups drawn often enough as classes, each in both splits", () => {
    expect(subgroups.classes).toHaveLength(56);
    expect(Math.min(...classCounts(subgroups, "train"))).toBeGreaterThanOrEqual(40);
    expect(Math.min(...classCounts(subgroups, "test"))).toBeGreaterThan(0);
  });

  it("has some thousand images, none twice, the test ones from other sets than the training ones", () => {
    const setsIn = (split: Split) => new Set(idsOf(groups, split).map((id) => id.split("/")[0]));
    expect([...setsIn("train")]).toEqual(["noto", "twemoji", "fluent-emoji-flat", "openmoji"]);
    expect([...setsIn("test")]).toEqual(["emojione", "fxemoji"]);
    const all = [...idsOf(groups, "train"), ...idsOf(groups, "test")];
    expect(new Set(all).size).toBe(all.length);
    expect(groups.images("train").length).toBeGreaterThan(6000);
    expect(groups.images("test").length).toBeGreaterThan(1500);
    expect(all.filter((id) => /skin-tone/.test(id))).toEqual([]);
  });

  it.each([
    ["noto/pizza", "food-drink", undefined],
    ["openmoji/tiger", "animals-nature", "animal-mammal"],
    ["emojione/hot-dog", "food-drink", "food-prepared"],
    ["fxemoji/steamlocomotive", "travel-places", "transport-ground"],
    ["fxemoji/umbrellawithraindrops", "travel-places", "sky-weather"],
    ["fluent-emoji-flat/guitar", "objects", "musical-instrument"],
  ])("puts %s into %s", (id, group, subgroup) => {
    expect(classOf(groups, id)).toBe(group);
    if (subgroup !== undefined) expect(classOf(subgroups, id)).toBe(subgroup);
  });

  it("draws each emoji as an SVG of its own", async () => {
    const list = groups.images("test");
    for (const index of [0, list.length - 1]) {
      const item = list.at(index);
      expect(item.encoding).toEqual({ kind: "svg", fixed: true });
      const svg = new TextDecoder().decode(await item.open());
      expect(svg).toMatch(/^<svg [^>]*width="128" height="128" viewBox="0 0 \d+ \d+">.+<\/svg>$/s);
    }
    const [first, second] = await Promise.all([list.at(0).open(), list.at(1).open()]);
    expect(first).not.toEqual(second);
  });

  it("has a fingerprint of its own for each split and granularity, the same each time", async () => {
    const prints = await Promise.all([
      groups.fingerprint("train"),
      groups.fingerprint("test"),
      subgroups.fingerprint("train"),
    ]);
    expect(new Set(prints).size).toBe(3);
    expect(await (await openEmoji()).fingerprint("train")).toBe(prints[0]);
  });
});

describe("the icon sets", () => {
  const Info = z.object({
    name: z.string(),
    author: z.object({ name: z.string(), url: z.string() }),
    license: z.object({ spdx: z.string(), url: z.string() }),
  });
  it.each(iconSets.map((set) => [set.id, set]))(
    "name author and license as %s's package does",
    async (id, set) => {
      const info = await readPackageJson(`@iconify-json/${id}/info.json`, Info);
      const { name, author, license, licenseUrl, url } = set;
      expect({ name, author, license, licenseUrl, url }).toEqual({
        name: info.name,
        author: info.author.name,
        license: info.license.spdx,
        licenseUrl: info.license.url,
        url: info.author.url,
      });
    },
  );

  it("are found by name where the sets that give code points show the names to be right", async () => {
    const names = await readEmojiNames();
    let right = 0;
    const wrong: string[] = [];
    for (const id of ["noto", "twemoji", "openmoji"]) {
      const chars = await readPackageJson(`@iconify-json/${id}/chars.json`, z.record(z.string(), z.string()));
      for (const [code, name] of Object.entries(chars)) {
        const truth = names.byCode(code);
        const guess = names.byName(name);
        if (truth === undefined || guess === undefined) continue;
        if (guess === truth) right++;
        else wrong.push(name);
      }
    }
    expect(right).toBeGreaterThan(5000);
    expect(wrong.length / right).toBeLessThan(0.001);
  });

  it("say what to do when a package is not there", async () => {
    const reading = readPackageJson("@iconify-json/absent/icons.json", z.unknown());
    await expect(reading).rejects.toBeInstanceOf(DataError);
    await expect(reading).rejects.toThrow(/@iconify-json\/absent\/icons\.json.*npm ci/s);
  });
});
