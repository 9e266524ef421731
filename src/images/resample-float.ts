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
  const down = flat(weights(from, height, interpolation));
  const across = flat(weights(from, width, interpolation));
  const out = new Float32Array(planes * height * width);
  const half = new Float64Array(from * width);
  const row = new Float64Array(width);
  for (let plane = 0; plane < planes; plane++) {
    const start = plane * from * from;
    for (let y = 0; y < from; y++) {
      const line = start + y * from;
      for (let x = 0; x < width; x++) {
        let sum = 0;
        const first = line + across.firsts[x] - across.begins[x];
        for (let k = across.begins[x]; k < across.begins[x + 1]; k++)
          sum += across.weights[k] * images[first + k];
        half[y * width + x] = sum;
      }
    }
    for (let y = 0; y < height; y++) {
      row.fill(0);
      for (let k = down.begins[y]; k < down.begins[y + 1]; k++) {
        const weight = down.weights[k];
        const at = (down.firsts[y] + k - down.begins[y]) * width;
        for (let x = 0; x < width; x++) row[x] += weight * half[at + x];
      }
      const to = (plane * height + y) * width;
      for (let x = 0; x < width; x++) out[to + x] = Math.min(1, Math.max(0, row[x]));
    }
  }
  return out;
}

/** Taps of all positions in arrays: those of position i are `begins[i]` to `begins[i + 1]`, from source `firsts[i]` on. */
function flat(taps: ReturnType<typeof weights>) {
  const begins = new Int32Array(taps.length + 1);
  for (const [i, own] of taps.entries()) begins[i + 1] = begins[i] + own.length;
  return {
    begins,
    firsts: Int32Array.from(taps, ([first]) => first.at),
    weights: Float64Array.from(taps.flatMap((own) => own.map(({ weight }) => weight))),
  };
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
