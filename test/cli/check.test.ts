import { copyFile, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openEmoji } from "../../src/data/emoji.ts";
import { check, type DataCheck } from "../../src/index.ts";
import { clpdd } from "../support/command.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";

const colors = { red: [200, 40, 40], green: [40, 170, 60], blue: [50, 60, 200] } as const;

/** Images of one color each, its shade another for each image. */
async function makePlainPhotos(folder: string, count: number, shade: number): Promise<void> {
  for (const [name, [r, g, b]] of Object.entries(colors)) {
    await mkdir(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const by = 5 * i + shade;
      const background = { r: r + by, g: g + by, b: b + by };
      const image = sharp({ create: { width: 32, height: 32, channels: 3, background } });
      await image.png().toFile(join(folder, name, `${i}.png`));
    }
  }
}

let data: DataFolder;
let photos: string;
beforeAll(async () => {
  data = await dataFolder();
  photos = join(data.path, "photos");
  await makePlainPhotos(join(photos, "train"), 8, 0);
  await makePlainPhotos(join(photos, "test"), 2, 4);
  await rename(join(photos, "train/red/7.png"), join(photos, "train/blue/odd.png"));
  await copyFile(join(photos, "train/green/5.png"), join(photos, "test/green/copy.png"));
});
afterAll(() => data.remove());

it("a wrong label and a leak are found in a folder, by the library and the command", async () => {
  const cacheFolder = join(data.path, "cache");
  const found = await check({ data: photos, size: 32, cacheFolder });
  expect(found.classes.map(({ name, train, test }) => [name, train, test])).toEqual([
    ["blue", 9, 2],
    ["green", 8, 3],
    ["red", 7, 2],
  ]);
  expect(found.suspects[0]).toMatchObject({ image: "blue/odd.png", class: "blue", suggested: "red" });
  expect(found.confusion.flat().reduce((sum, n) => sum + n, 0)).toBe(24);
  const leak = found.duplicates.find(({ second }) => second.image === "green/copy.png");
  expect(leak).toMatchObject({ leak: true, first: { split: "train", image: "green/5.png" } });
  expect(leak!.similarity).toBeCloseTo(1, 4);
  expect(leak!.by).toBe("features");

  const args = ["check", photos, "--size", "32", "--cache-dir", cacheFolder, "--quiet"];
  const table = await clpdd([...args, "--json"]);
  expect(table.stdout).toMatch(/Labels that another class fits better \(\d+ with confidence\): \d+/);
  expect(table.stdout).toMatch(/blue\/odd\.png +blue .*red/);
  expect(JSON.parse(table.stdout.trim().split("\n").at(-1)!).suspects).toEqual(found.suspects);
  const page = join(data.path, "check.html");
  const values = (await clpdd([...args, "--csv", "--html", page])).stdout;
  expect(values).toMatch(/^leak,train,green\/5\.png,green,test,green\/copy\.png,green,[\d.]+,features,,$/m);
  const html = await readFile(page, "utf8");
  // The odd image and the leak are shown, as images that are in the file.
  expect(html).toMatch(
    /<img class="thumb"[^>]* src="data:image\/webp;base64,[^"]{50,}" alt="blue\/odd\.png"/,
  );
  expect(html).toContain("test: green/copy.png");
  expect(html.match(/(src|href)="(?!data:|#)/)).toBeNull();
  const missing = await clpdd([...args, "--html", join(data.path, "none", "check.html")]);
  expect(missing.code).toBe(2);
  expect(missing.stderr).toContain("--html");
}, 120_000);

it("a leak is found by its picture, too", async () => {
  const scenes = join(data.path, "scenes");
  const emoji = (await openEmoji()).images("train");
  const draw = async (place: number) =>
    sharp(await emoji.at(place * 97).open())
      .flatten({ background: "white" })
      .resize(64);
  for (let k = 0; k < 14; k++) {
    const name = `${k < 12 ? "train" : "test"}/${k % 2 === 0 ? "a" : "b"}`;
    await mkdir(join(scenes, name), { recursive: true });
    await (await draw(k)).png().toFile(join(scenes, name, `${k}.png`));
  }
  // The first of class a, from the other side.
  await (await draw(0)).flop().png().toFile(join(scenes, "test/a/copy.png"));
  const args = ["check", scenes, "--size", "64", "--cache-dir", join(data.path, "cache"), "--quiet"];
  // Where no features are similar enough by themselves, pictures decide.
  const { stdout } = await clpdd([...args, "--similarity", "1", "--json"]);
  const leak = { leak: true, by: "picture", alignment: "mirrored", second: { image: "a/copy.png" } };
  const found = JSON.parse(stdout.trim().split("\n").at(-1)!) as DataCheck;
  expect(found.duplicates).toHaveLength(1);
  expect(found.duplicates[0]).toMatchObject({ ...leak, first: { split: "train", image: "a/0.png" } });
  expect(found.duplicates[0].correlation).toBeCloseTo(1, 6);
  expect(stdout).toMatch(/1 pair across train and test; 1 found by their pictures/);
  expect(stdout).toMatch(/1\.000 mirrored/);
}, 60_000);
