import type { PixelImage } from "../../src/browser/index.ts";

/** Pixels on the longer side beyond which an image is drawn smaller: memory for it is made at once. */
const mostSide = 4096;

const context = (width: number, height: number): OffscreenCanvasRenderingContext2D =>
  new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;

/**
 * The pixels of an image file, turned as its EXIF orientation says, its color profile ignored and what is transparent laid on
 * white, as the command line reads it.
 * @throws Error where the browser cannot decode it
 */
export async function pixelsOf(content: Blob | ImageBitmap): Promise<PixelImage> {
  const bitmap =
    content instanceof ImageBitmap
      ? content
      : await createImageBitmap(content, {
          colorSpaceConversion: "none",
          imageOrientation: "from-image",
          premultiplyAlpha: "default",
        });
  try {
    const scale = Math.min(1, mostSide / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    if (width === 0 || height === 0) throw new Error("it has no pixels");
    const drawn = context(width, height);
    drawn.fillStyle = "#fff";
    drawn.fillRect(0, 0, width, height);
    drawn.drawImage(bitmap, 0, 0, width, height);
    const { data } = drawn.getImageData(0, 0, width, height);
    return { width, height, data };
  } finally {
    bitmap.close();
  }
}

/** A small file of what the encoder sees: planar 8-bit RGB, 3 × size × size. */
export async function thumbnailOf(planar: Uint8Array, width: number, height: number): Promise<Blob> {
  const rgba = new Uint8ClampedArray(4 * width * height);
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) rgba[4 * p + c] = planar[c * width * height + p]!;
    rgba[4 * p + 3] = 255;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(new ImageData(rgba, width, height), 0, 0);
  // Browsers that write no WebP write a PNG instead.
  return canvas.convertToBlob({ type: "image/webp", quality: 0.9 });
}
