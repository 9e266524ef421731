/**
 * A dense matrix of doubles, row-major: element (i, j) is `data[i * cols + j]`.
 * The solver, its adjoint and the objectives compute in float64 throughout.
 */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/** A `rows × cols` matrix over `data` (not copied), or of zeros. Throws RangeError when the sizes disagree. */
export function matrix(rows: number, cols: number, data?: Float64Array): Matrix {
  const values = data ?? new Float64Array(rows * cols);
  if (values.length !== rows * cols) {
    throw new RangeError(`a ${rows} × ${cols} matrix needs ${rows * cols} numbers, got ${values.length}`);
  }
  return { rows, cols, data: values };
}
