import { seededRandom } from "../random.ts";
import { resampleFloat } from "./resample-float.ts";

/** What may happen to a set of images on its way to a user. */
export interface Edit {
  readonly name: string;
  /**
   * @param images count × 3 × size × size in [0, 1]; left as they are
   * @param start number of the first image in its set: random numbers depend on it and on no cut into parts
   */
  apply(images: Float32Array, size: number, start: number): Promise<Float32Array>;
}

/** Of a share of the side and back, by antialiased linear interpolation. */
const throughSize = (share: number) => async (images: Float32Array, size: number) => {
  const between = Math.max(1, Math.round(share * size));
  const there = resampleFloat(images, size, [between, between], "bilinear");
  return resampleFloat(there, between, [size, size], "bilinear");
};

/** Name of the mirror, which is not an edit for images whose mirror image is of another class. */
export const mirroredName = "mirrored";

/**
 * The edits that a set is measured under, each by itself, on the exact images: what stores, image libraries and
 * loaders do. The list is fixed, so that figures compare; docs/evaluation.md says how each is computed.
 */
export const edits: readonly Edit[] = [
  { name: "8-bit PNG", apply: async (images) => images.map((v) => Math.round(255 * v) / 255) },
  { name: "JPEG 90", apply: encodedAs("jpeg", 90) },
  { name: "JPEG 75", apply: encodedAs("jpeg", 75) },
  { name: "WebP 80", apply: encodedAs("webp", 80) },
  { name: mirroredName, apply: async (images, size) => moved(images, size, (y, x) => [y, size - 1 - x]) },
  { name: "shifted 1 px", apply: async (images, size) => shifted(images, size, 1) },
  { name: "shifted 4 px", apply: async (images, size) => shifted(images, size, 4) },
  { name: "1.75 × up and back", apply: throughSize(1.75) },
  { name: "half and back", apply: throughSize(0.5) },
  {
    name: "resize 8/7 and crop",
    async apply(images, size) {
      const large = Math.round((8 / 7) * size);
      const resized = resampleFloat(images, size, [large, large], "bilinear");
      const edge = (large - size) >> 1;
      return moved(resized, large, (y, x) => [y + edge, x + edge], size);
    },
  },
  { name: "contrast 0.9", apply: async (images) => images.map((v) => 0.5 + 0.9 * (v - 0.5)) },
  {
    name: "noise 0.05",
    async apply(images, size, start) {
      const pixels = 3 * size * size;
      const out = new Float32Array(images.length);
      for (let at = 0; at < images.length; at += pixels) {
        const random = seededRandom(0, `noise of image ${start + at / pixels}`);
        for (let i = at; i < at + pixels; i++) out[i] = unit(images[i] + 0.05 * random.normal());
      }
      return out;
    },
  },
];

const unit = (v: number): number => Math.min(1, Math.max(0, v));

/** Right and down by `by` pixels; what comes in from the border is the border's. */
const shifted = (images: Float32Array, size: number, by: number): Float32Array =>
  moved(images, size, (y, x) => [Math.max(0, y - by), Math.max(0, x - by)]);

/** Pixels of every plane taken from elsewhere in it. @param to side of the result */
function moved(
  images: Float32Array,
  size: number,
  from: (y: number, x: number) => readonly [number, number],
  to = size,
): Float32Array {
  const planes = images.length / (size * size);
  const out = new Float32Array(planes * to * to);
  for (let y = 0; y < to; y++)
    for (let x = 0; x < to; x++) {
      const [fromY, fromX] = from(y, x);
      for (let plane = 0; plane < planes; plane++)
        out[(plane * to + y) * to + x] = images[(plane * size + fromY) * size + fromX];
    }
  return out;
}

/** Encoded and decoded again by sharp, with its defaults but for the quality (so JPEG's colors have half the detail). */
function encodedAs(format: "jpeg" | "webp", quality: number): Edit["apply"] {
  return async (images, size) => {
    // Loaded when it is used: it takes memory.
    const { default: sharp } = await import("sharp");
    const area = size * size;
    const out = new Float32Array(images.length);
    for (let at = 0; at < images.length; at += 3 * area) {
      const bytes = new Uint8Array(3 * area);
      for (let p = 0; p < area; p++)
        for (let c = 0; c < 3; c++) bytes[3 * p + c] = Math.round(255 * unit(images[at + c * area + p]));
      const raw = { width: size, height: size, channels: 3 } as const;
      const encoded = await sharp(bytes, { raw }).toFormat(format, { quality }).toBuffer();
      const decoded = await sharp(encoded).removeAlpha().raw().toBuffer();
      for (let p = 0; p < area; p++)
        for (let c = 0; c < 3; c++) out[at + c * area + p] = decoded[3 * p + c] / 255;
    }
    return out;
  };
}
