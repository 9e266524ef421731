import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { openEmoji } from "../../src/data/emoji.ts";
import type { Item } from "../../src/images/types.ts";
import { seededRandom } from "../../src/random.ts";

/** Sides of the pictures, in pixels. */
const [least, most] = [64, 4000];

/** Draws an emoji (of this project's own sets, which scale) at a size, transparent around it. */
export async function drawEmoji(item: Item, side: number): Promise<Buffer> {
  const svg = new TextDecoder().decode(await item.open());
  const sized = svg.replace(/width="\d+" height="\d+"/, `width="${side}" height="${side}"`);
  return sharp(Buffer.from(sized), { limitInputPixels: false }).png().toBuffer();
}

/** Makes an image folder of emojis, `each` of each of the 8 groups, in their own size, on white. */
export async function makeEmojiFolder(folder: string, each: number): Promise<string> {
  const emoji = await openEmoji();
  const images = emoji.images("train");
  const counts = new Int32Array(emoji.classes.length);
  // A stride that is prime takes drawings of all artists.
  for (let k = 0; k < images.length && counts.some((count) => count < each); k++) {
    const item = images.at((k * 1009) % images.length);
    if (counts[item.label] === each) continue;
    const path = join(folder, emoji.classes[item.label]);
    await mkdir(path, { recursive: true });
    await sharp(await drawEmoji(item, 128))
      .flatten({ background: "white" })
      .toFile(join(path, `${counts[item.label]++}.png`));
  }
  return folder;
}

export interface PictureOptions {
  /** Number of the first picture: many can be made in parts. */
  readonly first?: number;
  /** The largest side of all pictures but number 1, which has the largest that there is. */
  readonly usual?: number;
}

/**
 * Makes pictures of 64 to 4,000 pixels, as many of each size on a logarithmic scale: drawings of emojis, transparent or on a
 * color, and noise photographs, as PNG, JPEG and WebP. Returns their paths.
 */
export async function makePictures(
  folder: string,
  count: number,
  { usual = most, first = 0 }: PictureOptions = {},
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const images = (await openEmoji()).images("test");
  const paths: string[] = [];
  for (let i = first; i < first + count; i++) {
    const random = seededRandom(i, "a picture");
    // The first and the last have the extreme sizes; others lie between them, in no order.
    const place = i === 0 ? 0 : i === 1 ? 1 : (i * 0.618034) % 1;
    const limit = i === 1 ? most : usual;
    const side = Math.round(least * (limit / least) ** place);
    const other = Math.round(Math.min(limit, Math.max(least, side * 2 ** (2 * random.uniform() - 1))));
    const [width, height] = random.uniform() < 0.5 ? [side, other] : [other, side];
    const isNoise = i % 4 === 3;
    const picture = isNoise
      ? noisePhoto(width, height, random.uniform)
      : await drawing(images.at((i * 101) % images.length), width, height, i % 4 === 0, random.uniform);
    const format = picture.isTransparent
      ? (["png", "webp"] as const)[i % 8 < 4 ? 0 : 1]
      : (["jpg", "png"] as const)[i % 8 < 6 ? 0 : 1];
    const path = join(folder, `${i}.${format}`);
    const image = sharp(picture.data, { raw: picture.raw, limitInputPixels: false });
    if (format === "jpg") await image.jpeg({ quality: 90 }).toFile(path);
    else if (format === "webp") await image.webp({ lossless: true, effort: 0 }).toFile(path);
    else await image.png({ compressionLevel: 1 }).toFile(path);
    paths.push(path);
  }
  return paths;
}

interface Raw {
  readonly data: Buffer | Uint8Array;
  readonly raw: { readonly width: number; readonly height: number; readonly channels: 3 | 4 };
  readonly isTransparent: boolean;
}

/** An emoji in the middle of a picture, transparent around it or on a plain color. */
async function drawing(
  item: Item,
  width: number,
  height: number,
  isTransparent: boolean,
  uniform: () => number,
): Promise<Raw> {
  const side = Math.min(width, height);
  const color = [0, 1, 2].map(() => Math.round(128 + 127 * uniform()));
  const background = { r: color[0], g: color[1], b: color[2], alpha: isTransparent ? 0 : 1 };
  const input = await drawEmoji(item, side);
  const canvas = sharp({ create: { width, height, channels: 4, background } }).composite([{ input }]);
  const channels = isTransparent ? 4 : 3;
  const data = await (isTransparent
    ? sharp(await canvas.png({ compressionLevel: 0 }).toBuffer())
    : canvas.removeAlpha()
  )
    .raw()
    .toBuffer();
  return { data, raw: { width, height, channels }, isTransparent };
}

/** A photograph by formula: a few waves of each color, and noise of the grain of a camera. */
function noisePhoto(width: number, height: number, uniform: () => number): Raw {
  const waves = Array.from({ length: 12 }, () => ({
    x: (2 * Math.PI * (uniform() - 0.5) * 16) / width,
    y: (2 * Math.PI * (uniform() - 0.5) * 16) / height,
    phase: 2 * Math.PI * uniform(),
    color: [0, 1, 2].map(() => 60 * (uniform() - 0.5)),
  }));
  const base = [0, 1, 2].map(() => 60 + 135 * uniform());
  const grain = Float32Array.from({ length: 65_536 }, () => 40 * (uniform() - 0.5));
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let [r, g, b] = base;
      for (const wave of waves) {
        const value = Math.sin(wave.x * x + wave.y * y + wave.phase);
        r += wave.color[0] * value;
        g += wave.color[1] * value;
        b += wave.color[2] * value;
      }
      for (const value of [r, g, b]) {
        const noise = grain[(at * 40_503) % 65_521];
        data[at++] = Math.max(0, Math.min(255, value + noise));
      }
    }
  }
  return { data, raw: { width, height, channels: 3 }, isTransparent: false };
}
