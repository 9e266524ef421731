import { DataError } from "../errors.ts";
import type { RgbImage } from "./types.ts";

/** Pixels in memory: 8-bit RGB or RGBA, interleaved, row by row, such as a canvas's ImageData. */
export interface PixelImage {
  readonly width: number;
  readonly height: number;
  /** height × width × 3, or × 4: then transparency is laid on white. */
  readonly data: Uint8Array | Uint8ClampedArray;
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
