/**
 * Separable antialiased resampling of 8-bit RGB images, bit for bit that of Pillow's `Image.resize`: the same
 * filters, the same 22-bit fixed-point weights, the same rounding to 8 bits between the two passes.
 * Encoders were trained on images that Pillow resized, so features agree only when the pixels do.
 *
 * Reference: Pillow, `src/libImaging/Resample.c`; torchvision's `Resize` calls it for PIL images. The horizontal
 * pass is the first, as in every Pillow up to 12.2; later ones take the vertical pass first where an image loses
 * more than twice as many rows as columns, which changes the rounding between the passes there.
 */
import { resamplePasses, type Taps } from "./resample-kernel.ts";
import type { Canvas, Rectangle, RgbImage } from "./types.ts";

interface Filter {
  /** Half-width of the filter at scale 1, in source pixels. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

export const filters = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: (x) => cubic(Math.abs(x), -0.5) },
  // Pillow has these two constants in single precision.
  hamming: {
    support: 1,
    weight: (x) =>
      Math.abs(x) < 1 ? sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI)) : 0,
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} satisfies Record<string, Filter>;

/** The filters, named as Pillow's `Image.Resampling` names them. All are widened when shrinking (antialiased). */
export type Interpolation = keyof typeof filters;

/** Every filter `resample` knows. */
export const interpolations = Object.keys(filters) as [Interpolation, ...Interpolation[]];

/** Keys' cubic convolution kernel for x ≥ 0. */
function cubic(x: number, a: number): number {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** 32 bits hold 8 bits of pixel, 2 bits of head room for the cubic's overshoot, and the weight. */
const precisionBits = 32 - 8 - 2;

/** Taps for outputs `[start, start + length)` of an axis resized from `from` to `to` pixels. */
function axisTaps(from: number, to: number, filter: Filter, start: number, length: number): Taps {
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Int32Array(length * stride);
  const raw = new Float64Array(stride);
  for (let i = 0; i < length; i++) {
    const center = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(from, Math.trunc(center + support + 0.5));
    const taps = high - low;
    let sum = 0;
    for (let t = 0; t < taps; t++) {
      raw[t] = filter.weight((low + t - center + 0.5) / widening);
      sum += raw[t];
    }
    let leading = 0;
    let used = 0;
    for (let t = 0; t < taps; t++) {
      const share = sum === 0 ? raw[t] : raw[t] * (1 / sum);
      const fixed = Math.trunc(share * (1 << precisionBits) + (share < 0 ? -0.5 : 0.5));
      if (fixed === 0 && used === 0) {
        leading++;
        continue;
      }
      weights[i * stride + used++] = fixed;
    }
    while (used > 0 && weights[i * stride + used - 1] === 0) used--;
    first[i] = low + leading;
    count[i] = used;
  }
  return { stride, first, count, weights };
}

/**
 * Resizes `image` to `width` × `height` and returns the part of the result inside `window` (all of it by
 * default): planar, 3 × window.height × window.width. Only what the window needs is computed. With `canvas`
 * the window is written there instead, and the canvas' data returned.
 *
 * Equal to `PIL.Image.resize((width, height), resample)` followed by a crop, to the last bit.
 * Throws RangeError when a size is not positive or the window leaves the resized image.
 */
export function resample(
  image: RgbImage,
  width: number,
  height: number,
  interpolation: Interpolation,
  window: Rectangle = { left: 0, top: 0, width, height },
  canvas?: Canvas,
): Uint8Array {
  checkSizes(image, width, height, window);
  const target = canvas ?? {
    data: new Uint8Array(3 * window.width * window.height),
    width: window.width,
    height: window.height,
    left: 0,
    top: 0,
  };
  const filter = filters[interpolation];
  const across = axisTaps(image.width, width, filter, window.left, window.width);
  const down = axisTaps(image.height, height, filter, window.top, window.height);
  let top = image.height;
  let bottom = 0;
  for (let y = 0; y < window.height; y++) {
    top = Math.min(top, down.first[y]);
    bottom = Math.max(bottom, down.first[y] + down.count[y]);
  }
  resamplePasses(image, across, down, top, bottom - top, target);
  return target.data;
}

function checkSizes(image: RgbImage, width: number, height: number, window: Rectangle): void {
  if (image.data.length !== image.width * image.height * 3 || image.data.length === 0) {
    throw new RangeError(
      `an RGB image of ${image.width} × ${image.height} needs ${image.width * image.height * 3} bytes and at least one pixel, got ${image.data.length}`,
    );
  }
  if (!(width > 0 && height > 0 && Number.isInteger(width) && Number.isInteger(height))) {
    throw new RangeError(`cannot resize to ${width} × ${height}: both must be positive integers`);
  }
  const { left, top } = window;
  const inside =
    left >= 0 &&
    top >= 0 &&
    window.width > 0 &&
    window.height > 0 &&
    left + window.width <= width &&
    top + window.height <= height;
  if (!inside) {
    throw new RangeError(
      `the window ${window.width} × ${window.height} at (${left}, ${top}) leaves the resized image of ${width} × ${height}`,
    );
  }
}

/** A planar image (3 × height × width) as an interleaved one (height × width × 3). */
export function interleave(planar: Uint8Array, width: number, height: number): RgbImage {
  const pixels = width * height;
  const data = new Uint8Array(pixels * 3);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < pixels; i++) data[i * 3 + channel] = planar[channel * pixels + i];
  }
  return { width, height, data };
}
