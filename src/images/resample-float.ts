import { filters, type Interpolation } from "./resample.ts";

/**
 * Planar float images [count, 3, from, from] in [0, 1] resized to [count, 3, height, width]: the filters of
 * `resample` (Pillow's, widened when shrinking) without its rounding to 8 bits. What the cubic overshoots is
 * cut at 0 and 1.
 */
export function resampleFloat(
  images: Float32Array,
  from: number,
  [height, width]: readonly [number, number],
  interpolation: Interpolation,
): Float32Array {
  if (height === from && width === from) return images;
  const planes = images.length / (from * from);
  const down = weights(from, height, interpolation);
  const across = weights(from, width, interpolation);
  const out = new Float32Array(planes * height * width);
  const half = new Float64Array(from * width);
  for (let plane = 0; plane < planes; plane++) {
    const start = plane * from * from;
    for (let y = 0; y < from; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (const { at, weight } of across[x]) sum += weight * images[start + y * from + at];
        half[y * width + x] = sum;
      }
    }
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        for (const { at, weight } of down[y]) sum += weight * half[at * width + x];
        out[(plane * height + y) * width + x] = Math.min(1, Math.max(0, sum));
      }
    }
  }
  return out;
}

/** The same along one axis as a matrix, to × from, row-major: a resized image is A_y X A_xᵀ, but for the cut at 0 and 1. */
export function resampleMatrix(from: number, to: number, interpolation: Interpolation): Float32Array {
  const matrix = new Float32Array(to * from);
  for (const [i, taps] of weights(from, to, interpolation).entries())
    for (const { at, weight } of taps) matrix[i * from + at] = weight;
  return matrix;
}

/** For each output position, the source positions it reads and their weights, which sum to 1. */
function weights(from: number, to: number, interpolation: Interpolation) {
  const filter = filters[interpolation];
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(from, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: high - low }, (_, t) => ({
      at: low + t,
      weight: filter.weight((low + t - center + 0.5) / widening),
    }));
    const sum = raw.reduce((total, { weight }) => total + weight, 0);
    return raw.map(({ at, weight }) => ({ at, weight: weight / sum }));
  });
}
