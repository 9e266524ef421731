import { type FeatureMap, type FeatureMapState, unitRows } from "./feature-map.ts";
import { type Matrix, matrix } from "./matrix.ts";

/** A batch of features after the feature map, Z (n × d), known by its products alone. */
export interface BatchRows {
  /** Z · W, n × k, for W d × k. */
  multiply(W: Matrix): Promise<Matrix>;
  /** Zᵀ · G, d × k, for G n × k. */
  transposeMultiply(G: Matrix): Promise<Matrix>;
}

/** X · B, or Xᵀ · B where `transposed`, for features X as they are cached: `rows` of them, in single precision. */
export type FeatureProduct = (
  X: Float32Array,
  rows: number,
  B: Matrix,
  transposed: boolean,
) => Promise<Matrix>;

/**
 * Features (row-major) after a feature map, which is applied to what they are multiplied by and to the products: a row
 * is (x − mean)/std over its norm, so Z W is X (W/std) less the mean's own product, each row over its norm.
 * That reads the batch as it is cached, once a product, instead of writing it anew in double.
 *
 * @param inverseNorms of the rows (`inverseNorms`), for maps that divide by them
 */
export function mappedRows(
  { mean, std }: FeatureMapState,
  features: Float32Array,
  rows: number,
  inverseNorms: Float64Array | undefined,
  product: FeatureProduct,
): BatchRows {
  const inverse = std?.map((s) => 1 / s);
  return {
    async multiply(W) {
      const B = inverse ? scaledRows(W, inverse) : W;
      const out = await product(features, rows, B, false);
      if (mean) subtractFromRows(out, weightedSum(B, mean));
      return inverseNorms ? scaledRows(out, inverseNorms) : out;
    },
    async transposeMultiply(G) {
      const B = inverseNorms ? scaledRows(G, inverseNorms) : G;
      const out = await product(features, rows, B, true);
      if (mean) subtractOuter(out, mean, weightedSum(B));
      return inverse ? scaledRows(out, inverse) : out;
    },
  };
}

/**
 * One over the norm of each row that the map divides by, 0 for a row of norm zero, which stays zero; undefined for maps that
 * do not divide.
 */
export function inverseNorms(
  map: FeatureMap,
  features: Float32Array,
  rows: number,
): Float64Array | undefined {
  if (!unitRows(map.normalization)) return undefined;
  const { mean, std } = map;
  const d = features.length / rows;
  const inverse = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let squares = 0;
    for (let j = 0, at = i * d; j < d; j++, at++) {
      const centered = mean ? features[at] - mean[j] : features[at];
      const value = std ? centered / std[j] : centered;
      squares += value * value;
    }
    if (squares > 0) inverse[i] = 1 / Math.sqrt(squares);
  }
  return inverse;
}

/** Row i of `a` times factors[i]. */
function scaledRows(a: Matrix, factors: Float64Array): Matrix {
  const out = a.data.slice();
  for (let i = 0; i < a.rows; i++) {
    for (let at = i * a.cols; at < (i + 1) * a.cols; at++) out[at] *= factors[i];
  }
  return matrix(a.rows, a.cols, out);
}

/** Σᵢ weightᵢ · row i, weights 1 by default. */
function weightedSum(a: Matrix, weights?: Float64Array): Float64Array {
  const out = new Float64Array(a.cols);
  for (let i = 0; i < a.rows; i++) {
    const weight = weights ? weights[i] : 1;
    for (let k = 0; k < a.cols; k++) out[k] += weight * a.data[i * a.cols + k];
  }
  return out;
}

/** Subtracts `row` from every row of `a`, in place. */
function subtractFromRows(a: Matrix, row: Float64Array): void {
  for (let at = 0; at < a.data.length; at += a.cols) {
    for (let k = 0; k < a.cols; k++) a.data[at + k] -= row[k];
  }
}

/** Subtracts the outer product u vᵀ from `a`, in place. */
function subtractOuter(a: Matrix, u: Float64Array, v: Float64Array): void {
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.cols; k++) a.data[i * a.cols + k] -= u[i] * v[k];
  }
}
