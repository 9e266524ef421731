import type { Resampling, Rotary, Size } from "./description.ts";

/**
 * A learned position embedding brought to another grid of patches, as PyTorch's `interpolate` does it with
 * `align_corners=False` and a given size.
 * @param values rows·columns × d, row-major
 * @returns to[0]·to[1] × d
 */
export function resamplePositions(
  values: Float32Array,
  d: number,
  from: Size,
  to: Size,
  resampling: Resampling,
): Float32Array {
  if (from[0] === to[0] && from[1] === to[1]) return values;
  const down = axisWeights(from[0], to[0], resampling);
  const across = axisWeights(from[1], to[1], resampling);
  const rows = new Float64Array(from[0] * to[1] * d);
  for (let y = 0; y < from[0]; y++)
    for (let x = 0; x < to[1]; x++)
      for (const [source, weight] of across[x])
        for (let k = 0; k < d; k++)
          rows[(y * to[1] + x) * d + k] += weight * values[(y * from[1] + source) * d + k];
  const out = new Float64Array(to[0] * to[1] * d);
  for (let y = 0; y < to[0]; y++)
    for (const [source, weight] of down[y])
      for (let i = 0; i < to[1] * d; i++) out[y * to[1] * d + i] += weight * rows[source * to[1] * d + i];
  return Float32Array.from(out);
}

/** For every output position the sources it reads, with their weights. */
function axisWeights(from: number, to: number, resampling: Resampling): [number, number][][] {
  const scale = from / to;
  if (resampling === "bicubic") {
    // Four taps around the position, those beyond the ends taken at the ends; a = −0.75.
    return Array.from({ length: to }, (_, i) => {
      const at = (i + 0.5) * scale - 0.5;
      const first = Math.floor(at) - 1;
      return Array.from({ length: 4 }, (_, t): [number, number] => [
        Math.min(Math.max(first + t, 0), from - 1),
        cubic(Math.abs(at - (first + t)), -0.75),
      ]);
    });
  }
  // Antialiased as in Pillow: a filter as wide as the pixels it shrinks, cut at the ends, summing to one.
  const widening = Math.max(scale, 1);
  const [half, filter] =
    resampling === "bilinear-antialias"
      ? [1, (x: number) => Math.max(0, 1 - x)]
      : [2, (x: number) => cubic(x, -0.5)];
  const support = half * widening;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const taps = Array.from({ length: end - first }, (_, t): [number, number] => [
      first + t,
      filter(Math.abs(first + t - center + 0.5) / widening),
    ]);
    const sum = taps.reduce((total, [, weight]) => total + weight, 0);
    return taps.map(([source, weight]): [number, number] => [source, weight / sum]);
  });
}

/** Keys' cubic convolution kernel for x ≥ 0. */
function cubic(x: number, a: number): number {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/**
 * Cosines and signed sines of a rotary embedding, tokens × head size, for heads whose features i and i + half are
 * turned together: y = x·cosines + (x with its halves exchanged)·sines. Prefix tokens are not turned.
 */
export function rotaryTables(
  rotary: Rotary,
  [rows, columns]: Size,
  prefix: number,
  headSize: number,
): { cosines: Float32Array; sines: Float32Array } {
  const tokens = prefix + rows * columns;
  const cosines = new Float32Array(tokens * headSize).fill(1);
  const sines = new Float32Array(tokens * headSize);
  const half = headSize / 2;
  const bands = headSize / 4;
  const [referenceRows, referenceColumns] = rotary.reference ?? [rows, columns];
  const coordinate = (index: number, count: number, reference: number): number =>
    rotary.coordinates === "index"
      ? (index / count) * reference
      : 2 * Math.PI * (2 * ((index + 0.5) / count) - 1);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const token = prefix + y * columns + x;
      for (let j = 0; j < half; j++) {
        // The first half of the frequencies turns with the row, the second with the column.
        const at = j < bands ? coordinate(y, rows, referenceRows) : coordinate(x, columns, referenceColumns);
        const angle = at * rotary.base ** (-(j % bands) / bands);
        const i = token * headSize + j;
        cosines[i] = cosines[i + half] = Math.cos(angle);
        sines[i] = -Math.sin(angle);
        sines[i + half] = Math.sin(angle);
      }
    }
  }
  return { cosines, sines };
}
