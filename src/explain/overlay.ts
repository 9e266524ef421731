import type { HeatMap } from "./heat.ts";

/** Length in pixels that an overlay's shorter side has at least. */
const leastSide = 384;

/** Colors of heat from 0 to 1: from dark violet to light yellow, even in lightness. */
const ramp = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
] as const;

/**
 * A heat map laid over the part of a photo that the encoder sees, as a PNG: the photo in gray, heat in color. Negative values
 * count by their size; the largest is the brightest.
 * @param pixels planar 8-bit RGB, 3 × height × width
 * @param blur standard deviation of the smoothing, in the photo's pixels: gradients of single pixels are noise to the eye
 */
export async function overlay(
  pixels: Uint8Array,
  [height, width]: readonly [number, number],
  heat: HeatMap,
  blur = 0,
): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  const scale = Math.max(1, Math.ceil(leastSide / Math.min(height, width)));
  const [h, w] = [height * scale, width * scale];
  const gray = await sharp(interleaved(pixels), { raw: { width, height, channels: 3 } })
    .resize(w, h, { kernel: "cubic" })
    .greyscale()
    .raw()
    .toBuffer();
  const hot = await enlarged(heat, w, h, blur * scale);
  const out = new Uint8Array(3 * h * w);
  for (let p = 0; p < h * w; p++) {
    const weight = 0.25 + 0.5 * hot[p];
    const place = hot[p] * (ramp.length - 1);
    const stop = Math.min(ramp.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c++) {
      const color = ramp[stop][c] + (place - stop) * (ramp[stop + 1][c] - ramp[stop][c]);
      out[3 * p + c] = Math.round((1 - weight) * gray[p] + weight * color);
    }
  }
  return sharp(out, { raw: { width: w, height: h, channels: 3 } })
    .png()
    .toBuffer();
}

/** Planar 8-bit RGB as a PNG. */
export async function pngOf(
  pixels: Uint8Array,
  [height, width]: readonly [number, number],
): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  return sharp(interleaved(pixels), { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function interleaved(planar: Uint8Array): Uint8Array {
  const area = planar.length / 3;
  return Uint8Array.from(planar, (_, i) => planar[(i % 3) * area + Math.floor(i / 3)]);
}

/** Sizes of a heat map's values in [0, 1], at another size. */
async function enlarged(heat: HeatMap, width: number, height: number, blur: number): Promise<Float32Array> {
  const { default: sharp } = await import("sharp");
  const most = heat.values.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) || 1;
  const bytes = Uint8Array.from(heat.values, (value) => Math.round((255 * Math.abs(value)) / most));
  const image = sharp(bytes, { raw: { width: heat.width, height: heat.height, channels: 1 } });
  const sized = image.resize(width, height, { kernel: "cubic", fit: "fill" });
  const data = await (blur >= 0.3 ? sized.blur(blur) : sized).toColourspace("b-w").raw().toBuffer();
  const peak = data.reduce((a, b) => Math.max(a, b), 0) || 1;
  return Float32Array.from(data, (value) => value / peak);
}
