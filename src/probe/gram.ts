import type { Gemm } from "./gemm.ts";
import { type Matrix, rowsOf, transpose } from "./matrix.ts";
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
  const rows = of === "rows" ? x.rows : x.cols;
  if (rows <= whole && (plus === undefined || "data" in plus)) {
    const product = of === "rows" ? { transB: true } : { transA: true };
    return gemm.multiply(x, x, { ...product, alpha, ...(plus && { plus }) });
  }
  // Halves of rows are there as they are, and rows by rows is the fastest of products.
  if (of === "columns") return gram(transpose(x), gemm, { alpha, plus });
  const to = plus && halved(plus);
  const half = to?.head.rows ?? halfOf(rows);
  const [first, second] = [rowsOf(x, 0, half), rowsOf(x, half, rows)];
  return {
    rows,
    head: await gram(first, gemm, { alpha, plus: to?.head }),
    cross: await gemm.multiply(first, second, { transB: true, alpha, ...(to && { plus: to.cross }) }),
    tail: await gram(second, gemm, { alpha, plus: to?.tail }),
  };
}
