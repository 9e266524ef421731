import { DataError, NumericalError } from "../errors.ts";
import { type Matrix, matrix } from "./matrix.ts";

/** The feature maps g, applied to synthetic and real features alike. */
export const normalizations = ["none", "l2", "center-l2", "standardize", "standardize-l2"] as const;
export type Normalization = (typeof normalizations)[number];

/** All that defines a feature map, ready to be written down. */
export interface FeatureMapState {
  readonly normalization: Normalization;
  /** Mean of the real features (d); present when the map centers. */
  readonly mean?: Float64Array;
  /** Standard deviation of the real features (d), floored; present when the map standardizes. */
  readonly std?: Float64Array;
}

/** Features after g, with what the pullback needs. */
export interface MappedFeatures {
  /** g(features), rows × d. */
  readonly values: Matrix;
  /** Each row's 2-norm before it was divided by it; absent where the map does not normalize rows. */
  readonly norms?: Float64Array;
}

/** A fitted feature map. */
export interface FeatureMap extends FeatureMapState {
  /** g of `rows` features of equal size, row-major. A row of norm zero stays zero under l2. */
  apply(features: Float32Array | Float64Array, rows: number): MappedFeatures;
  /** dL/dfeatures (rows × d) for a cotangent dL/dg of the same shape. A row of norm zero gets zero. */
  pullback(mapped: MappedFeatures, cotangent: Matrix): Matrix;
}

const centers = (n: Normalization): boolean => n !== "none" && n !== "l2";
const scales = (n: Normalization): boolean => n === "standardize" || n === "standardize-l2";
/** Whether a map divides each row by its norm. */
export const unitRows = (n: Normalization): boolean => n.endsWith("l2");

/** Whether a map needs statistics of the real features, which are then part of the distilled artifact. */
export function needsStatistics(normalization: Normalization): boolean {
  return centers(normalization);
}

/** The map with the given normalization, its mean and standard deviation taken from `statistics` where it needs them. */
export function fitFeatureMap(normalization: Normalization, statistics?: FeatureStatistics): FeatureMap {
  if (!needsStatistics(normalization)) return featureMap({ normalization });
  if (statistics === undefined || statistics.count === 0) {
    throw new DataError(
      `feature normalization "${normalization}" takes mean and standard deviation from real features, got none. ` +
        'Give a data set, or use "l2" or "none".',
    );
  }
  const mean = statistics.mean();
  return featureMap({ normalization, mean, ...(scales(normalization) ? { std: statistics.std() } : {}) });
}

/** The map that `state` describes. Throws RangeError where its mean or standard deviation is missing. */
export function featureMap(state: FeatureMapState): FeatureMap {
  const { normalization } = state;
  const mean = centers(normalization) ? state.mean : undefined;
  const std = scales(normalization) ? state.std : undefined;
  if (centers(normalization) && mean === undefined) throw new RangeError(`${normalization} needs a mean`);
  if (scales(normalization) && std === undefined)
    throw new RangeError(`${normalization} needs a standard deviation`);
  const inverse = std?.map((s) => 1 / s);
  return {
    normalization,
    ...(mean ? { mean } : {}),
    ...(std ? { std } : {}),
    apply(features, rows) {
      const d = features.length / rows;
      if (!Number.isInteger(d) || (mean !== undefined && mean.length !== d)) {
        throw new RangeError(
          `${features.length} numbers are not ${rows} features of size ${mean ? mean.length : "d"}`,
        );
      }
      // Not Float64Array.from, which takes ten times as long.
      const values = new Float64Array(features);
      if (mean && inverse) {
        for (let at = 0; at < values.length; at += d) {
          for (let j = 0; j < d; j++) values[at + j] = (values[at + j] - mean[j]) * inverse[j];
        }
      } else if (mean) {
        for (let at = 0; at < values.length; at += d) for (let j = 0; j < d; j++) values[at + j] -= mean[j];
      }
      if (!unitRows(normalization)) return { values: matrix(rows, d, values) };
      const norms = new Float64Array(rows);
      for (let i = 0; i < rows; i++) {
        let square = 0;
        for (let j = i * d; j < (i + 1) * d; j++) square += values[j] * values[j];
        const norm = Math.sqrt(square);
        norms[i] = norm;
        if (norm > 0) for (let j = i * d; j < (i + 1) * d; j++) values[j] /= norm;
      }
      return { values: matrix(rows, d, values), norms };
    },
    pullback({ values, norms }, cotangent) {
      const { rows, cols: d } = values;
      const out = cotangent.data.slice();
      for (let i = 0; i < rows; i++) {
        const at = i * d;
        if (norms) {
          // y = x/‖x‖: dL/dx = (ȳ − y ⟨y, ȳ⟩) / ‖x‖.
          let along = 0;
          for (let j = at; j < at + d; j++) along += values.data[j] * out[j];
          const scale = norms[i] > 0 ? 1 / norms[i] : 0;
          for (let j = at; j < at + d; j++) out[j] = scale * (out[j] - along * values.data[j]);
        }
        if (inverse) for (let j = 0; j < d; j++) out[at + j] *= inverse[j];
      }
      return matrix(rows, d, out);
    },
  };
}

/** Standard deviations below this share of their root mean square are raised to it: a feature that is nearly constant on
 * real images must not be blown up on synthetic ones. */
const relativeFloor = 1e-3;

/** Mean and standard deviation of features that come in batches: Welford's streaming update, in float64. */
export class FeatureStatistics {
  readonly featureSize: number;
  private rows = 0;
  private readonly means: Float64Array;
  private readonly squares: Float64Array;

  constructor(featureSize: number) {
    this.featureSize = featureSize;
    this.means = new Float64Array(featureSize);
    this.squares = new Float64Array(featureSize);
  }

  /** Features seen so far. */
  get count(): number {
    return this.rows;
  }

  /** Takes whole rows of `featureSize` numbers. Throws NumericalError naming a row with NaN or an infinity. */
  add(features: Float32Array): void {
    const { featureSize: d, means, squares } = this;
    if (features.length % d !== 0) throw new RangeError(`${features.length} numbers are not rows of ${d}`);
    for (let at = 0; at < features.length; at += d) {
      const share = 1 / (this.rows + 1);
      let sum = 0;
      for (let j = 0; j < d; j++) {
        const x = features[at + j];
        const delta = x - means[j];
        const mean = means[j] + delta * share;
        means[j] = mean;
        squares[j] += delta * (x - mean);
        sum += x;
      }
      if (!Number.isFinite(sum)) {
        throw new NumericalError(
          `real features: row ${this.rows} holds a number that is not finite. Look at the image behind that ` +
            "row, and at whether the encoder gives finite features for it.",
        );
      }
      this.rows++;
    }
  }

  /** The mean of each feature (d). */
  mean(): Float64Array {
    return this.means.slice();
  }

  /** The population standard deviation of each feature (d), floored at a thousandth of their root mean square. */
  std(): Float64Array {
    const variances = this.squares.map((s) => s / this.rows);
    const rms = Math.sqrt(variances.reduce((sum, v) => sum + v, 0) / variances.length);
    const floor = rms > 0 ? relativeFloor * rms : 1;
    return variances.map((v) => Math.max(Math.sqrt(v), floor));
  }
}
