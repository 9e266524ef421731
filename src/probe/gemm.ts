import { type Matrix, matrix, shapeOf } from "./matrix.ts";

export interface MultiplyOptions {
  /** Multiply by the transpose of `a`. */
  readonly transA?: boolean;
  /** Multiply by the transpose of `b`. */
  readonly transB?: boolean;
  /** Factor of the product, default 1. */
  readonly alpha?: number;
  /** A matrix of the product's shape that is added to it. */
  readonly plus?: Matrix;
  /** Where the result is written, default new memory. May be `plus`, to add in place; neither of the factors. */
  readonly into?: Matrix;
}

/** Products of double matrices: `alpha · op(a) · op(b) + plus`, op being the transpose where asked. */
export interface Gemm {
  /** Returns the product. Throws RangeError when sizes disagree. */
  multiply(a: Matrix, b: Matrix, options?: MultiplyOptions): Promise<Matrix>;
}

/** The sizes of op(a) · op(b): (rows × inner) · (inner × cols). Throws RangeError where shapes do not fit. */
export function productSizes(
  a: Matrix,
  b: Matrix,
  { transA = false, transB = false, plus, into }: MultiplyOptions = {},
): { rows: number; inner: number; cols: number } {
  const [rows, inner] = transA ? [a.cols, a.rows] : [a.rows, a.cols];
  const [other, cols] = transB ? [b.cols, b.rows] : [b.rows, b.cols];
  if (inner !== other) {
    const name = (m: Matrix, t: boolean) => `(${shapeOf(m)})${t ? "ᵀ" : ""}`;
    throw new RangeError(`cannot multiply ${name(a, transA)} by ${name(b, transB)}`);
  }
  if (plus !== undefined && (plus.rows !== rows || plus.cols !== cols)) {
    throw new RangeError(`cannot add ${shapeOf(plus)} to a product of shape ${shapeOf({ rows, cols })}`);
  }
  if (into !== undefined && (into.rows !== rows || into.cols !== cols)) {
    throw new RangeError(`cannot write a product of shape ${shapeOf({ rows, cols })} into ${shapeOf(into)}`);
  }
  return { rows, inner, cols };
}

/**
 * Below about this many multiply-adds (rows · inner · cols) the JavaScript kernel beats ONNX Runtime's call
 * overhead on x86-64 with 2 cores (`bench/runs/ridge.ts` prints the crossing); above it ONNX Runtime is up to
 * 15 times faster.
 */
export const largeProduct = 16_000;

/** Sends products of fewer than `from` multiply-adds to `small` and the others to `large`. */
export function chooseGemm(small: Gemm, large: Gemm, from: number = largeProduct): Gemm {
  return {
    multiply(a, b, options) {
      const { rows, inner, cols } = productSizes(a, b, options);
      return (rows * inner * cols < from ? small : large).multiply(a, b, options);
    },
  };
}

// Block sizes: a packed panel of B (innerBlock × tile) and one of A stay in the first-level cache, the packed
// block of A (rowBlock × innerBlock) in the second.
const tile = 4;
const innerBlock = 256;
const rowBlock = 128;
const colBlock = 512;

/** The kernel for small problems, and for places without ONNX Runtime: plain JavaScript, one thread. */
export const jsGemm: Gemm = { multiply: async (a, b, options) => jsProduct(a, b, options) };

/** What `jsGemm` computes, at once. */
export function jsProduct(a: Matrix, b: Matrix, options: MultiplyOptions = {}): Matrix {
  const { rows, inner, cols } = productSizes(a, b, options);
  const { alpha = 1, plus, into } = options;
  const c = into?.data ?? new Float64Array(rows * cols);
  if (plus === undefined) c.fill(0);
  else if (plus.data !== c) c.set(plus.data);
  const depth = Math.min(inner, innerBlock);
  const packedA = new Float64Array(roundUp(Math.min(rows, rowBlock)) * depth);
  const packedB = new Float64Array(roundUp(Math.min(cols, colBlock)) * depth);
  // Element (i, p) of op(a) is a.data[i · rowStep + p · innerStep]; op(b)ᵀ likewise: both are packed alike.
  const [aRow, aInner] = options.transA ? [1, a.cols] : [a.cols, 1];
  const [bCol, bInner] = options.transB ? [b.cols, 1] : [1, b.cols];
  for (let j0 = 0; j0 < cols; j0 += colBlock) {
    const width = Math.min(colBlock, cols - j0);
    for (let p0 = 0; p0 < inner; p0 += innerBlock) {
      const k = Math.min(innerBlock, inner - p0);
      pack(b.data, j0 * bCol + p0 * bInner, bCol, bInner, width, k, 1, packedB);
      for (let i0 = 0; i0 < rows; i0 += rowBlock) {
        const height = Math.min(rowBlock, rows - i0);
        pack(a.data, i0 * aRow + p0 * aInner, aRow, aInner, height, k, alpha, packedA);
        multiplyBlock(packedA, packedB, height, width, k, c, i0 * cols + j0, cols);
      }
    }
  }
  return matrix(rows, cols, c);
}

const roundUp = (n: number): number => Math.ceil(n / tile) * tile;

/** Lays `count` strided vectors of length `k`, times `factor`, in interleaved groups of `tile`, zero-filled. */
function pack(
  from: Float64Array,
  offset: number,
  step: number,
  innerStep: number,
  count: number,
  k: number,
  factor: number,
  to: Float64Array,
): void {
  for (let group = 0; group < count; group += tile) {
    const base = group * k;
    for (let r = 0; r < tile; r++) {
      let at = base + r;
      if (group + r < count) {
        let source = offset + (group + r) * step;
        for (let p = 0; p < k; p++, at += tile, source += innerStep) to[at] = factor * from[source]!;
      } else {
        for (let p = 0; p < k; p++, at += tile) to[at] = 0;
      }
    }
  }
}

const edge = new Float64Array(tile * tile);

function multiplyBlock(
  packedA: Float64Array,
  packedB: Float64Array,
  height: number,
  width: number,
  k: number,
  c: Float64Array,
  offset: number,
  stride: number,
): void {
  for (let j = 0; j < width; j += tile) {
    const w = Math.min(tile, width - j);
    for (let i = 0; i < height; i += tile) {
      const h = Math.min(tile, height - i);
      if (w === tile && h === tile) {
        multiplyTile(packedA, i * k, packedB, j * k, k, c, offset + i * stride + j, stride);
        continue;
      }
      edge.fill(0);
      multiplyTile(packedA, i * k, packedB, j * k, k, edge, 0, tile);
      for (let r = 0; r < h; r++) {
        for (let s = 0; s < w; s++) c[offset + (i + r) * stride + j + s]! += edge[r * tile + s]!;
      }
    }
  }
}

/** c (4 × 4, rows `stride` apart) += one packed panel of A times one of B; the sums stay in registers. */
function multiplyTile(
  a: Float64Array,
  aStart: number,
  b: Float64Array,
  bStart: number,
  k: number,
  c: Float64Array,
  at: number,
  stride: number,
): void {
  let c00 = 0;
  let c01 = 0;
  let c02 = 0;
  let c03 = 0;
  let c10 = 0;
  let c11 = 0;
  let c12 = 0;
  let c13 = 0;
  let c20 = 0;
  let c21 = 0;
  let c22 = 0;
  let c23 = 0;
  let c30 = 0;
  let c31 = 0;
  let c32 = 0;
  let c33 = 0;
  const end = aStart + 4 * k;
  for (let p = aStart, q = bStart; p < end; p += 4, q += 4) {
    const b0 = b[q]!;
    const b1 = b[q + 1]!;
    const b2 = b[q + 2]!;
    const b3 = b[q + 3]!;
    const a0 = a[p]!;
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    const a1 = a[p + 1]!;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    const a2 = a[p + 2]!;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    const a3 = a[p + 3]!;
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
  }
  const r1 = at + stride;
  const r2 = r1 + stride;
  const r3 = r2 + stride;
  c[at]! += c00;
  c[at + 1]! += c01;
  c[at + 2]! += c02;
  c[at + 3]! += c03;
  c[r1]! += c10;
  c[r1 + 1]! += c11;
  c[r1 + 2]! += c12;
  c[r1 + 3]! += c13;
  c[r2]! += c20;
  c[r2 + 1]! += c21;
  c[r2 + 2]! += c22;
  c[r2 + 3]! += c23;
  c[r3]! += c30;
  c[r3 + 1]! += c31;
  c[r3 + 2]! += c32;
  c[r3 + 3]! += c33;
}
