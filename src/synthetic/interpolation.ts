/**
 * One-dimensional linear interpolation as a small matrix: output (out) × input (in), row-major. An image is
 * resampled by A_y X A_xᵀ, so that its gradient is two matrix products as well.
 */

/** Bilinear resampling of the whole axis, pixel centers aligned at half pixels (PyTorch's align_corners=False). */
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
  writeCropMatrix(matrix, input, 1, out, input, start, length, flip);
  return matrix;
}

/** Writes the matrix of `cropMatrix` over zeros: element (r, c) is at r · rowStep + c · columnStep of `target`. */
export function writeCropMatrix(
  target: Float32Array,
  rowStep: number,
  columnStep: number,
  out: number,
  input: number,
  start: number,
  length: number,
  flip: boolean,
): void {
  const first = Math.max(0, Math.floor(start));
  const last = Math.min(input, Math.ceil(start + length)) - 1;
  for (let i = 0; i < out; i++) {
    const position = Math.min(Math.max(start + ((i + 0.5) * length) / out - 0.5, first), last);
    const left = Math.floor(position);
    const right = Math.min(left + 1, last);
    const row = flip ? out - 1 - i : i;
    const weight = position - left;
    target[row * rowStep + left * columnStep] += 1 - weight;
    target[row * rowStep + right * columnStep] += weight;
  }
}

/**
 * The rows of `matrix` (out × input) taken to half their number with the filter [1 3 3 1]/8 and back linearly, the
 * border repeated: what is left of an axis behind a loss of its finest detail.
 */
export function lowPassed(matrix: Float32Array, out: number, input: number): Float32Array {
  const half = Math.ceil(out / 2);
  const halved = new Float32Array(half * input);
  for (let i = 0; i < half; i++)
    for (const [tap, weight] of [1, 3, 3, 1].entries()) {
      const row = Math.min(Math.max(2 * i + tap - 1, 0), out - 1);
      for (let j = 0; j < input; j++) halved[i * input + j] += (weight / 8) * matrix[row * input + j];
    }
  // An odd number of rows ends in the middle of the last of the half.
  const back = cropMatrix(out, half, 0, out / 2, false);
  const result = new Float32Array(out * input);
  for (let i = 0; i < out; i++)
    for (let k = 0; k < half; k++) {
      const weight = back[i * half + k];
      if (weight === 0) continue;
      for (let j = 0; j < input; j++) result[i * input + j] += weight * halved[k * input + j];
    }
  return result;
}
