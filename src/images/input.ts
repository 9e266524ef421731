import { DataError, messageOf } from "../errors.ts";
import { readRegular } from "../files/regular-file.ts";
import { decodeImage, decodeOptionsFor } from "./decode.ts";
import { inputBytes, type Preprocessing, preprocess } from "./preprocess.ts";
import type { RgbImage } from "./types.ts";

/** Pixels in memory: 8-bit RGB or RGBA, interleaved, row by row, such as a canvas's ImageData. */
export interface PixelImage {
  readonly width: number;
  readonly height: number;
  /** height × width × 3, or × 4: then transparency is laid on white. */
  readonly data: Uint8Array | Uint8ClampedArray;
}

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
    return await readRegular(path);
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${messageOf(cause)}.`, { cause });
  }
}

/** Whether the bytes of an image file are an SVG document: no raster format begins with "<". */
export function isMarkup(bytes: Uint8Array): boolean {
  return /^(\uFEFF)?\s*</.test(new TextDecoder().decode(bytes.subarray(0, 64)));
}

/** Pixels as RGB. @throws DataError naming the image by its index, for data of another size */
export function rgbOfPixels({ width, height, data }: PixelImage, index: number): RgbImage {
  const pixels = width * height;
  if (!(pixels > 0 && (data?.length === 3 * pixels || data?.length === 4 * pixels))) {
    throw new DataError(
      `Image ${index} is ${width} × ${height} with ${data?.length ?? "no"} bytes of data. Expected width × height × 3 ` +
        "(RGB) or × 4 (RGBA), a path, or the bytes of an image file.",
    );
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
  return { width, height, data: data.length === 3 * pixels ? bytes : onWhite(bytes, pixels) };
}

function onWhite(rgba: Uint8Array, pixels: number): Uint8Array {
  const out = new Uint8Array(3 * pixels);
  for (let p = 0; p < pixels; p++) {
    const alpha = rgba[4 * p + 3];
    for (let c = 0; c < 3; c++) {
      out[3 * p + c] = Math.round((rgba[4 * p + c] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return out;
}
