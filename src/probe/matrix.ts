/**
 * A dense matrix of doubles, row-major: element (i, j) is `data[i * cols + j]`.
 * The solver, its adjoint and the objectives compute in float64, but for products with cached features, which are in
 * float32 as the features are (batch-rows.ts).
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

/** The unit matrix, n × n. */
export function identity(n: number): Matrix {
  const out = matrix(n, n);
  for (let i = 0; i < n; i++) out.data[i * (n + 1)] = 1;
  return out;
}

/** Rows `start` … `end − 1` of `a`, as a view of the same memory. */
export function rowsOf(a: Matrix, start: number, end: number): Matrix {
  return matrix(end - start, a.cols, a.data.subarray(start * a.cols, end * a.cols));
}

/** The `rows × cols` block of `a` whose first element is (top, left), copied. */
export function blockOf(a: Matrix, top: number, left: number, rows: number, cols: number): Matrix {
  const out = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) {
    const start = (top + i) * a.cols + left;
    out.set(a.data.subarray(start, start + cols), i * cols);
  }
  return matrix(rows, cols, out);
}

/** The transpose of `a`, copied tile by tile so that both sides stay in the cache. */
export function transpose(a: Matrix): Matrix {
  const { rows, cols, data } = a;
  const out = new Float64Array(rows * cols);
  const tile = 32;
  for (let i0 = 0; i0 < rows; i0 += tile) {
    const i1 = Math.min(rows, i0 + tile);
    for (let j0 = 0; j0 < cols; j0 += tile) {
      const j1 = Math.min(cols, j0 + tile);
      for (let i = i0; i < i1; i++) {
        for (let j = j0; j < j1; j++) out[j * rows + i] = data[i * cols + j];
      }
    }
  }
  return matrix(cols, rows, out);
}

/** The sum of the products of equal-placed elements, Σ aᵢⱼ bᵢⱼ = tr(Aᵀ B). */
export function innerProduct(a: Matrix, b: Matrix): number {
  if (a.rows !== b.rows || a.cols !== b.cols) throw new RangeError(`${shapeOf(a)} against ${shapeOf(b)}`);
  const [x, y] = [a.data, b.data];
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

/** `a − b` in new memory. */
export function subtract(a: Matrix, b: Matrix): Matrix {
  if (a.rows !== b.rows || a.cols !== b.cols) throw new RangeError(`${shapeOf(a)} against ${shapeOf(b)}`);
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = a.data[i] - b.data[i];
  return matrix(a.rows, a.cols, out);
}

/** `factor · a` in new memory. */
export function scaled(a: Matrix, factor: number): Matrix {
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = factor * a.data[i];
  return matrix(a.rows, a.cols, out);
}

/** A matrix's shape as people read it: "8 × 192". */
export function shapeOf(a: { readonly rows: number; readonly cols: number }): string {
  return `${a.rows} × ${a.cols}`;
}
