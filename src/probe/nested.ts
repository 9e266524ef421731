import { blockOf, type Matrix, matrix, shapeOf } from "./matrix.ts";

/**
 * A square matrix of which one triangle says all (symmetric, or triangular), halved again and again:
 *
 *     [head  cross]
 *     [  ·    tail]
 *
 * with the block below the diagonal left out. Every block is contiguous, so that products take it as it is.
 */
export type Nested = Matrix | Halved;

export interface Halved {
  readonly rows: number;
  readonly head: Nested;
  readonly cross: Matrix;
  readonly tail: Nested;
}

export const isHalved = (a: Nested): a is Halved => "cross" in a;

/** Where `rows` rows are halved. */
export const halfOf = (rows: number): number => Math.ceil(rows / 2);

/** The halves of `a`; those of a plain matrix are copied. */
export function halved(a: Nested): Halved {
  if (isHalved(a)) return a;
  const { rows } = a;
  if (rows !== a.cols) throw new RangeError(`a square matrix was expected, got ${shapeOf(a)}`);
  const half = halfOf(rows);
  const block = (top: number, left: number, height: number, width: number): Matrix =>
    blockOf(a, top, left, height, width);
  return {
    rows,
    head: block(0, 0, half, half),
    cross: block(0, half, half, rows - half),
    tail: block(half, half, rows - half, rows - half),
  };
}

/** The diagonal, in new memory. */
export function diagonal(a: Nested): Float64Array {
  const out = new Float64Array(a.rows);
  if (isHalved(a)) {
    out.set(diagonal(a.head));
    out.set(diagonal(a.tail), a.head.rows);
  } else {
    for (let i = 0; i < a.rows; i++) out[i] = a.data[i * (a.cols + 1)];
  }
  return out;
}

/** Σ of the diagonal. */
export function traceOf(a: Nested): number {
  return diagonal(a).reduce((sum, x) => sum + x, 0);
}

/** The sum of two matrices of one size and halved alike, in new memory. */
export function added(a: Nested, b: Nested): Nested {
  if (isHalved(a) && isHalved(b)) {
    const cross = plus(a.cross, b.cross);
    return { rows: a.rows, head: added(a.head, b.head), cross, tail: added(a.tail, b.tail) };
  }
  if (isHalved(a) || isHalved(b))
    throw new RangeError(`${a.rows} rows against ${b.rows}, halved differently`);
  return plus(a, b);
}

function plus(a: Matrix, b: Matrix): Matrix {
  if (a.rows !== b.rows || a.cols !== b.cols) throw new RangeError(`${shapeOf(a)} against ${shapeOf(b)}`);
  return matrix(
    a.rows,
    a.cols,
    a.data.map((x, i) => x + b.data[i]),
  );
}
