import type { Gemm } from "./gemm.ts";
import { blockOf, type Matrix, rowsOf } from "./matrix.ts";
import { halfOf, halved, type Nested } from "./nested.ts";

export interface GramOptions {
  /** `rows`: x xᵀ (default). `columns`: xᵀ x. */
  readonly of?: "rows" | "columns";
  /** Factor of the product, default 1. */
  readonly alpha?: number;
  /** A symmetric matrix that is added. The result is halved like it. */
  readonly plus?: Nested | undefined;
}

/** Rows of a result that is not halved further: smaller products are further from full speed than they save. */
const whole = 256;

/** The products of all pairs of rows or columns of `x`, `alpha · x xᵀ + plus` or `alpha · xᵀ x + plus`. */
export async function gram(x: Matrix, gemm: Gemm, options: GramOptions = {}): Promise<Nested> {
  const { of = "rows", alpha = 1, plus } = options;
  const byRows = of === "rows";
  const rows = byRows ? x.rows : x.cols;
  const product = byRows ? { transB: true, alpha } : { transA: true, alpha };
  if (rows <= whole && (plus === undefined || "data" in plus)) {
    return gemm.multiply(x, x, { ...product, ...(plus && { plus }) });
  }
  const to = plus && halved(plus);
  const half = to?.head.rows ?? halfOf(rows);
  const part = (from: number, end: number): Matrix =>
    byRows ? rowsOf(x, from, end) : blockOf(x, 0, from, x.rows, end - from);
  const [first, second] = [part(0, half), part(half, rows)];
  return {
    rows,
    head: await gram(first, gemm, { of, alpha, plus: to?.head }),
    cross: await gemm.multiply(first, second, { ...product, ...(to && { plus: to.cross }) }),
    tail: await gram(second, gemm, { of, alpha, plus: to?.tail }),
  };
}
