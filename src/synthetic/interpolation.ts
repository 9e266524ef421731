/**
 * One-dimensional linear interpolation as a small matrix: output (out) × input (in), row-major. An image is
 * resampled by A_y X A_xᵀ, so that its gradient is two matrix products as well.
 */

/** Bilinear resampling of the whole axis, pixel centres aligned at half pixels (PyTorch's align_corners=False). */
export function resizeMatrix(out: number, input: number): Float32Array {
  return cropMatrix(out, input, 0, input, false);
}

/**
 * Bilinear resampling of the stretch [start, start + length) of an axis of `input` pixels to `out` pixels,
 * mirrored when `flip`. Positions outside of the stretch take its border pixel, as crop-then-resize does.
 */
export function cropMatrix(
  out: number,
  input: number,
  start: number,
  length: number,
  flip: boolean,
): Float32Array {
  const matrix = new Float32Array(out * input);
  const first = Math.max(0, Math.floor(start));
  const last = Math.min(input, Math.ceil(start + length)) - 1;
  for (let i = 0; i < out; i++) {
    const position = Math.min(Math.max(start + ((i + 0.5) * length) / out - 0.5, first), last);
    const left = Math.floor(position);
    const right = Math.min(left + 1, last);
    const row = flip ? out - 1 - i : i;
    const weight = position - left;
    matrix[row * input + left]! += 1 - weight;
    matrix[row * input + right]! += weight;
  }
  return matrix;
}
