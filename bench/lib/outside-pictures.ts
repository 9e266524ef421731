/** Pictures of none of the emoji set's classes, which a set should recognize as such. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { openEmoji } from "../../src/data/emoji.ts";
import { emojiIconsOfPackages, isFlag } from "../../src/data/emoji-icons.ts";
import type { ImageSource } from "../../src/data/image-source.ts";
import type { PixelImage } from "../../src/images/pixels.ts";
import { type Random, seededRandom } from "../../src/random.ts";

const side = 128;

/** Flags as the four training artists draw them: the only group of Unicode's that is no class. */
export const flags = async (): Promise<ImageSource> =>
  openEmoji("groups", await emojiIconsOfPackages(isFlag));

/** Pixels drawn alone and uniformly. */
export function pixelNoise(count: number): PixelImage[] {
  const random = seededRandom(0, "pixel noise");
  return Array.from({ length: count }, () => picture(() => 256 * random.uniform()));
}

/** Colors drawn on a grid of 4 to 16 cells a side, and interpolated between. */
export async function smoothNoise(count: number): Promise<PixelImage[]> {
  const random = seededRandom(0, "smooth noise");
  const made: PixelImage[] = [];
  for (let i = 0; i < count; i++) {
    const cells = 4 + random.below(13);
    const data = Uint8Array.from({ length: 3 * cells * cells }, () => 256 * random.uniform());
    const raw = { width: cells, height: cells, channels: 3 } as const;
    const pixels = await sharp(data, { raw }).resize(side, side, { kernel: "cubic" }).raw().toBuffer();
    made.push({ width: side, height: side, data: new Uint8Array(pixels) });
  }
  return made;
}

/** Square parts of the photographs in a folder, `each` of each, at random places and sizes. */
export async function photoParts(folder: string, each: number): Promise<PixelImage[]> {
  const random = seededRandom(0, "parts of photographs");
  const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();
  const parts: PixelImage[] = [];
  for (const name of names) {
    const image = sharp(join(folder, name)).removeAlpha().toColorspace("srgb");
    const { width, height } = await image.metadata();
    for (let k = 0; k < each; k++) parts.push(await partOf(image, width, height, random));
  }
  return parts;
}

async function partOf(image: Sharp, width: number, height: number, random: Random): Promise<PixelImage> {
  const edge = Math.floor(Math.min(width, height) * (0.25 + 0.75 * random.uniform()));
  const [left, top] = [random.below(width - edge + 1), random.below(height - edge + 1)];
  const part = image.clone().extract({ left, top, width: edge, height: edge });
  const data = await part
    .resize(2 * side, 2 * side)
    .raw()
    .toBuffer();
  return { width: 2 * side, height: 2 * side, data: new Uint8Array(data) };
}

/** Handwritten digits of scikit-learn's data set, dark on white; undefined where the folder has none. */
export async function digits(folder: string, count: number): Promise<PixelImage[] | undefined> {
  const path = join(folder, "digits.csv.gz");
  if (!existsSync(path)) return undefined;
  const lines = gunzipSync(await readFile(path))
    .toString("utf8")
    .trim()
    .split("\n");
  const made: PixelImage[] = [];
  for (const line of lines.slice(0, count)) {
    const gray = line
      .split(",")
      .slice(0, 64)
      .map((value) => 255 - (255 * Number(value)) / 16);
    const raw = { width: 8, height: 8, channels: 1 } as const;
    const pixels = await sharp(Uint8Array.from(gray), { raw })
      .resize(side, side, { kernel: "cubic" })
      .toColorspace("srgb")
      .raw()
      .toBuffer();
    const data = new Uint8Array(3 * side * side);
    const step = pixels.length / (side * side);
    for (let at = 0; at < data.length; at++) data[at] = pixels[Math.floor(at / 3) * step]!;
    made.push({ width: side, height: side, data });
  }
  return made;
}

function picture(value: () => number): PixelImage {
  return { width: side, height: side, data: Uint8Array.from({ length: 3 * side * side }, value) };
}
