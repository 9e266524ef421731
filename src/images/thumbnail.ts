import type { RgbImage } from "./types.ts";

/** Quality at which an emoji or a photo of 96 px takes 1 to 3 kB. */
const quality = 72;

/** A small copy of an image for a page: a data URI of a WebP file of at most `side` × `side` pixels, its aspect kept. */
export async function thumbnailUri({ width, height, data }: RgbImage, side: number): Promise<string> {
  const { default: sharp } = await import("sharp");
  const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: side, height: side, fit: "inside", withoutEnlargement: true })
    .webp({ quality })
    .toBuffer();
  return `data:image/webp;base64,${bytes.toString("base64")}`;
}
