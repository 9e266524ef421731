import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openEmoji } from "../../src/data/emoji.ts";
import { baseline, explain } from "../../src/index.ts";
import { clpdd } from "../support/command.ts";
import { type DataFolder, dataFolder } from "../support/data-folder.ts";
import { drawEmoji } from "../support/pictures.ts";

const side = 224;
const object = 104;

let data: DataFolder;
let set: string;
const photos: { path: string; left: number; top: number; label: string }[] = [];

/** Emojis of two groups in the corners of plain canvases. */
beforeAll(async () => {
  data = await dataFolder();
  set = join(data.path, "set");
  const emoji = await openEmoji();
  const images = emoji.images("train");
  const place = [8, side - object - 8];
  for (const label of [0, 3]) {
    const name = emoji.classes[label];
    await mkdir(join(data.path, "photos", name), { recursive: true });
    const own = Array.from(images.labels.keys()).filter((i) => images.labels[i] === label);
    for (let i = 0; i < 12; i++) {
      const [left, top] = [place[i % 2], place[Math.floor(i / 2) % 2]];
      const path = join(data.path, "photos", name, `${i}.png`);
      await sharp({ create: { width: side, height: side, channels: 3, background: "#c8c8c8" } })
        .composite([{ input: await drawEmoji(images.at(own[i * 7]), object), left, top }])
        .png()
        .toFile(path);
      if (i < 8) photos.push({ path, left, top, label: name });
    }
  }
  const common = { cacheFolder: join(data.path, "cache"), baselines: false, edits: false };
  await baseline({
    kind: "full",
    data: join(data.path, "photos"),
    out: set,
    size: side,
    resize: side,
    ...common,
  });
}, 240_000);
afterAll(() => data.remove());

it("heat is on the object: on plain canvases, a place of it has more than twice the heat of another", async () => {
  const found = await explain(
    set,
    photos.map(({ path }) => path),
  );
  /** Heat per place, on the object and beside it, over all photos; each photo's heat is 1. */
  const heat = { gradCam: { on: 0, beside: 0 }, gradientTimesInput: { on: 0, beside: 0 } };
  for (const [i, { left, top, label }] of photos.entries()) {
    const own = found[i];
    if ("unreadable" in own) throw new Error(own.unreadable);
    expect(own.class).toBe(label);
    for (const kind of ["gradCam", "gradientTimesInput"] as const) {
      const { height, width, values } = own[kind];
      let [inside, all, places] = [0, 0, 0];
      for (const [p, value] of values.entries()) {
        // A place of the map counts where its middle is.
        const x = ((p % width) + 0.5) * (side / width) - left;
        const y = (Math.floor(p / width) + 0.5) * (side / height) - top;
        all += Math.abs(value);
        if (x < 0 || y < 0 || x >= object || y >= object) continue;
        inside += Math.abs(value);
        places++;
      }
      heat[kind].on += inside / all / places;
      heat[kind].beside += (1 - inside / all) / (values.length - places);
    }
    const { width } = await sharp(own.overlays.gradCam).metadata();
    expect(width).toBe(2 * side);
    expect((await sharp(own.view).metadata()).width).toBe(side);
  }
  // Heat that knows nothing of the object would have a ratio of 1.
  expect(heat.gradCam.on / heat.gradCam.beside).toBeGreaterThan(2);
  expect(heat.gradientTimesInput.on / heat.gradientTimesInput.beside).toBeGreaterThan(2);
}, 120_000);

it("the command writes new pictures, names what it skips, and overwrites nothing", async () => {
  await writeFile(join(data.path, "torn.jpg"), "no image");
  const out = join(data.path, "explained");
  const args = ["explain", set, photos[0].path, "torn.jpg", "--out", out, "--method", "both", "--quiet"];
  const { code, stdout, stderr } = await clpdd(args, { cwd: data.path });
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/Skipped: .*torn\.jpg/);
  expect(stdout).toMatch(/Grad-CAM at \S+, a map \[1280, 7, 7\]/);
  const files = ["0.grad-cam.png", "0.gradient.png"];
  expect((await readdir(out)).sort()).toEqual(files);
  const before = await readFile(join(out, files[0]));
  const again = await clpdd([...args, "--json"], { cwd: data.path });
  expect(JSON.parse(again.stdout)).toMatchObject({
    gradCam: join(out, "0.grad-cam (2).png"),
    class: photos[0].label,
  });
  expect(await readdir(out)).toHaveLength(4);
  expect(await readFile(join(out, files[0]))).toEqual(before);
}, 120_000);

it("a class or a tensor that is not there is refused with those that are", async () => {
  await expect(explain(set, [photos[0].path], { class: "cat" })).rejects.toThrow(
    /no class "cat".*smileys-emotion/,
  );
  await expect(explain(set, [photos[0].path], { tensor: "cat" })).rejects.toThrow(
    /no tensor "cat".*head\.relu6/,
  );
  await expect(explain(set, [])).rejects.toThrow(/No image was given/);
}, 120_000);

it("classify --html writes a page that holds photos, classes, probabilities and overlays", async () => {
  const page = join(data.path, "page.html");
  const args = ["classify", set, photos[0].path, photos[9].path, "torn.jpg", "--html", page, "--quiet"];
  const { code, stderr } = await clpdd(args, { cwd: data.path });
  expect(code, stderr).toBe(0);
  const text = await readFile(page, "utf8");
  expect(text.match(/<figure>/g)).toHaveLength(2);
  expect(text.match(/src="data:image\/png;base64,/g)).toHaveLength(4);
  for (const part of [photos[0].label, photos[9].label, "torn.jpg", " %"]) expect(text).toContain(part);
  // Nothing is fetched from elsewhere.
  expect(text).not.toMatch(/(src|href)="(?!data:)/);
}, 120_000);
