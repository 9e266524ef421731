import type { SpatialTensor } from "./spatial-tensor.ts";

/** Numbers over an image, row by row. */
export interface HeatMap {
  readonly height: number;
  readonly width: number;
  /** height × width. */
  readonly values: Float32Array;
}

/**
 * Grad-CAM (Selvaraju et al., arXiv 1610.02391): ReLU(Σ_k α_k A_k), where α_k is the mean over places of the score's gradient
 * with respect to channel k of the map A. Tokens are a map of patches.
 * @param tensor layout of one image's numbers; @param values, gradient of that image
 */
export function gradCam(
  { rows, columns, channels, at }: Pick<SpatialTensor, "rows" | "columns" | "channels" | "at">,
  values: Float32Array,
  gradient: Float32Array,
): HeatMap {
  const places = rows * columns;
  const sums = new Float64Array(places);
  for (let c = 0; c < channels; c++) {
    let alpha = 0;
    for (let p = 0; p < places; p++) alpha += gradient[at(p, c)] / places;
    for (let p = 0; p < places; p++) sums[p] += alpha * values[at(p, c)];
  }
  return { height: rows, width: columns, values: Float32Array.from(sums, (sum) => Math.max(0, sum)) };
}

/**
 * Gradient × input (Shrikumar et al., arXiv 1605.01713): Σ_c (x_c − μ_c) ∂score/∂x_c at each pixel, which for the normalized
 * input z = (x − μ)/σ is Σ_c z_c ∂score/∂z_c. Positive where the pixel's departure from the mean color speaks for the class.
 * @param image, gradient planar, 3 × height × width, of an image in [0, 1]
 */
export function gradientTimesInput(
  image: Float32Array,
  gradient: Float32Array,
  mean: readonly number[],
  [height, width]: readonly [number, number],
): HeatMap {
  const area = height * width;
  const values = new Float32Array(area);
  for (let c = 0; c < 3; c++) {
    for (let p = 0; p < area; p++) values[p] += (image[c * area + p] - mean[c]) * gradient[c * area + p];
  }
  return { height, width, values };
}
