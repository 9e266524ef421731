import { DataError, messageOf } from "../errors.ts";
import { decodeImage, decodeOptionsFor } from "./decode.ts";
import { readImageFile } from "./image-file.ts";
import { type PixelImage, rgbOfPixels } from "./pixels.ts";
import { inputBytes, type Preprocessing, preprocess } from "./preprocess.ts";
import type { RgbImage } from "./types.ts";

/** An image as a program has it: the path of a file, the bytes of one, or its pixels. */
export type ImageLike = string | Uint8Array | PixelImage;

/**
 * Images as an encoder's input: decoded, resized and cropped as those of a data set, planar 8-bit RGB, n × 3 × H × W.
 * @throws DataError naming an image that cannot be read
 */
export async function encoderInput(
  images: readonly ImageLike[],
  preprocessing: Preprocessing,
): Promise<Uint8Array> {
  const size = inputBytes(preprocessing);
  const out = new Uint8Array(images.length * size);
  const decoded = await Promise.all(images.map((image, i) => rgbOf(image, i, preprocessing)));
  for (const [i, image] of decoded.entries()) {
    preprocess(image, preprocessing, out.subarray(i * size, (i + 1) * size));
  }
  return out;
}

async function rgbOf(image: ImageLike, index: number, preprocessing: Preprocessing): Promise<RgbImage> {
  if (typeof image !== "string" && !(image instanceof Uint8Array)) return rgbOfPixels(image, index);
  const id = typeof image === "string" ? image : `image ${index}`;
  const bytes = typeof image === "string" ? await readImage(image) : image;
  const isSvg = typeof image === "string" ? /\.svg$/i.test(image) : isMarkup(bytes);
  const encoding = isSvg ? ({ kind: "svg", fixed: false } as const) : ({ kind: "raster" } as const);
  return decodeImage(id, bytes, encoding, decodeOptionsFor(preprocessing));
}

async function readImage(path: string): Promise<Uint8Array> {
  try {
    return await readImageFile(path);
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}

/** Whether the bytes of an image file are an SVG document: no raster format begins with "<". */
export function isMarkup(bytes: Uint8Array): boolean {
  return /^(\uFEFF)?\s*</.test(new TextDecoder().decode(bytes.subarray(0, 64)));
}
