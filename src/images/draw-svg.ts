import type { RgbImage } from "./types.ts";

/** Draws an SVG document on white, at `density` dots per inch. Throws what librsvg and libvips say. */
export async function drawSvg(bytes: Uint8Array, density: number, maxPixels: number): Promise<RgbImage> {
  const sharp = (await import("sharp")).default;
  const { data, info } = await sharp(bytes, { failOn: "error", limitInputPixels: maxPixels, density })
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`expected 3 color channels, got ${info.channels}`);
  return { width: info.width, height: info.height, data };
}
