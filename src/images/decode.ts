import { DataError, messageOf } from "../errors.ts";
import { decodeBitmap, isBitmap } from "./bitmap.ts";
import { inksToRgb, isFourInkJpeg, isTiff } from "./cmyk.ts";
import { drawLimited } from "./draw-limited.ts";
import { drawSvg } from "./draw-svg.ts";
import { decodeNetpbm, isNetpbm } from "./netpbm.ts";
import type { Preprocessing } from "./preprocess.ts";
import { isSvg, requireSmallPictures } from "./svg-pictures.ts";
import type { Encoding, RgbImage } from "./types.ts";

/** The library takes 17 MB, which a run whose features are cached has other use for. */
const loadSharp = async () => (await import("sharp")).default;

/** Bytes of an image file at most: more than 128 million pixels ever take. */
export const mostImageBytes = 2 ** 30;

/** How `decodeImage` reads an image. */
export interface DecodeOptions {
  /** Length in pixels that the shorter edge of an SVG without a fixed size is drawn at. By default its own. */
  readonly svgEdge?: number;
  /** Images of more pixels are refused, from their header, before memory is taken. By default 128 million. */
  readonly maxPixels?: number;
  /**
   * Pixels of the shorter edge that suffice. Of a JPEG, PNG or the like with more, the image comes smaller, with at least as many:
   * in less time, and never whole in memory.
   */
  readonly enough?: number;
}

const defaultMaxPixels = 128e6;

/** Dots per inch at which librsvg draws a document at the size it states. */
const ownDensity = 72;

/**
 * Decodes one image to 8-bit RGB.
 *
 * Raster files: the first frame of an animation; turned as the EXIF orientation says; 16-bit, grayscale, palette
 * and CMYK images converted, the latter as Pillow does; transparency laid on white; embedded color profiles of RGB images ignored, as
 * Pillow's `convert("RGB")` does, which torchvision reads images with. (Pillow differs in three of these: it does
 * not turn, drops the alpha channel instead of laying it on white, and clips 16-bit grayscale.)
 * A truncated or corrupt file is an error, not a gray half.
 *
 * Throws DataError naming the image, `id`, when it cannot be decoded or is larger than `maxPixels`.
 */
export async function decodeImage(
  id: string,
  bytes: Uint8Array,
  encoding: Encoding,
  options: DecodeOptions = {},
): Promise<RgbImage> {
  if (encoding.kind === "pixels") return fromPixels(id, bytes, encoding);
  const limitInputPixels = options.maxPixels ?? defaultMaxPixels;
  const sharp = await loadSharp();
  try {
    if (isBitmap(bytes)) return decodeBitmap(bytes, limitInputPixels);
    if (isNetpbm(bytes)) return decodeNetpbm(bytes, limitInputPixels);
    const hasInks =
      isFourInkJpeg(bytes) ||
      (isTiff(bytes) && (await sharp(bytes, { limitInputPixels }).metadata()).space === "cmyk");
    if (isSvg(bytes)) return await decodeSvg(bytes, encoding, options, limitInputPixels);
    const image = sharp(bytes, {
      failOn: "error",
      ignoreIcc: true,
      autoOrient: true,
      limitInputPixels,
    });
    if (hasInks) {
      image.pipelineColourspace("cmyk").toColourspace("cmyk");
      const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
      if (info.channels !== 4) throw new Error(`expected 4 inks, got ${info.channels}`);
      return { width: info.width, height: info.height, data: inksToRgb(data) };
    }
    const { enough } = options;
    if (enough !== undefined) {
      image.resize({ width: enough, height: enough, fit: "outside", withoutEnlargement: true });
    }
    const { data, info } = await image
      .flatten({ background: "#ffffff" })
      .toColourspace("srgb")
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`expected 3 color channels, got ${info.channels}`);
    return { width: info.width, height: info.height, data };
  } catch (cause) {
    const reason = messageOf(cause);
    const limit = /pixel limit/.test(reason)
      ? `: it has more than ${limitInputPixels / 1e6} million pixels. Make it smaller`
      : `: ${reason}. Replace or remove it`;
    throw new DataError(`${id} cannot be decoded${limit}, or let unreadable images be skipped.`, { cause });
  }
}

/** Drawings of our own packages (`fixed`) are drawn as they are; others within limits of time and pixels. */
async function decodeSvg(
  bytes: Uint8Array,
  encoding: Encoding,
  options: DecodeOptions,
  maxPixels: number,
): Promise<RgbImage> {
  const fixed = encoding.kind === "svg" && encoding.fixed;
  if (fixed) return drawSvg(bytes, ownDensity, maxPixels);
  await requireSmallPictures(bytes, maxPixels);
  const density = options.svgEdge === undefined ? ownDensity : await densityFor(bytes, options.svgEdge);
  return drawLimited(bytes, density, maxPixels);
}

/** The density at which the shorter edge of the document is `edge` pixels long. */
async function densityFor(svg: Uint8Array, edge: number): Promise<number> {
  const sharp = await loadSharp();
  const { width, height } = await sharp(svg, { density: ownDensity }).metadata();
  const density = (ownDensity * edge) / Math.min(width, height);
  return Math.min(100_000, Math.max(1, density));
}

function fromPixels(
  id: string,
  bytes: Uint8Array,
  encoding: Extract<Encoding, { kind: "pixels" }>,
): RgbImage {
  const { width, height, channels, layout } = encoding;
  const pixels = width * height;
  if (bytes.length !== pixels * channels) {
    throw new DataError(
      `${id} should have ${pixels * channels} bytes (${width} × ${height}, ${channels} channels) but has ${bytes.length}.`,
    );
  }
  if (channels === 3 && layout === "hwc") return { width, height, data: bytes };
  const data = new Uint8Array(pixels * 3);
  for (let channel = 0; channel < 3; channel++) {
    const plane = channels === 1 ? 0 : channel * pixels;
    for (let i = 0; i < pixels; i++) data[i * 3 + channel] = bytes[plane + i];
  }
  return { width, height, data };
}

/** The decode options that suit a preprocessing: SVGs are drawn at the size that it resizes to. */
export function decodeOptionsFor({ resize, crop }: Preprocessing): DecodeOptions {
  return { svgEdge: typeof resize === "number" ? resize : Math.max(...(resize ?? crop)) };
}
