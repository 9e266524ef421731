import { DataError } from "../errors.ts";
import { cholesky } from "./cholesky.ts";
import { ClassSums } from "./class-sums.ts";
import { type Gemm, jsGemm } from "./gemm.ts";
import { gram } from "./gram.ts";
import { identity, type Matrix, matrix, transpose } from "./matrix.ts";
import { added, type Nested, traceOf } from "./nested.ts";
import { requireFiniteMatrix, requireLambda } from "./ridge.ts";

/** A ridge probe fitted on streamed features. */
export interface FittedRidge {
  readonly lambda: number;
  /** r = λ · tr(ZᵀZ) / n. */
  readonly shift: number;
  /** d × C: scores of features Z (n × d) are Z W. */
  readonly weight: Matrix;
}

/**
 * The closed-form probe of a data set that is never held in memory: batches of features are folded into
 * ZᵀZ (d × d) and the sums by class, and any number of λ is solved from them, with labels one-hot minus 1/C
 * and r = λ · tr(ZᵀZ)/n, as in `solveRidge`.
 *
 * To choose λ, keep a held-out part out of the accumulator, score it with the weights of several λ, then
 * `merge` an accumulator of the held-out part and solve once more for the chosen λ:
 *
 *     const candidates = await training.solve([1e-3, 1e-2, 1e-1]);
 *     // … accuracy of each candidate's weight on the held-out features …
 *     training.merge(heldOut);
 *     const [probe] = await training.solve([best]);
 */
export class RidgeAccumulator {
  private readonly gemm: Gemm;
  private readonly featureSize: number;
  /** ZᵀZ, once there are features. */
  private covariance: Nested | undefined;
  private readonly byClass: ClassSums;

  /** For features of size `featureSize` (after the feature map) and class indices below `classes`. */
  constructor(featureSize: number, classes: number, gemm: Gemm = jsGemm) {
    this.gemm = gemm;
    this.featureSize = featureSize;
    this.byClass = new ClassSums(classes, featureSize);
  }

  /** Features seen so far. */
  get count(): number {
    return this.byClass.count;
  }

  /**
   * Adds a batch: features n × d and their n class indices. A thousand rows or more a batch are efficient.
   * Throws NumericalError for a feature that is not finite, DataError for a label out of range; the
   * accumulator is then as before.
   */
  async add(features: Float32Array | Matrix, labels: ArrayLike<number>): Promise<void> {
    const Z =
      features instanceof Float32Array
        ? matrix(labels.length, this.featureSize, new Float64Array(features))
        : features;
    requireFiniteMatrix(Z, `features after the first ${this.count}`);
    this.byClass.add(Z, labels);
    this.covariance = await gram(Z, this.gemm, { of: "columns", plus: this.covariance });
  }

  /** Adds what another accumulator of the same shape has seen. */
  merge(other: RidgeAccumulator): void {
    this.byClass.merge(other.byClass);
    if (other.covariance === undefined) return;
    this.covariance =
      this.covariance === undefined ? other.covariance : added(this.covariance, other.covariance);
  }

  /** The mean feature of each class, C × d; zero for a class without features. */
  classMeans(): Matrix {
    return this.byClass.means();
  }

  /** The probes of several λ, one factorisation each. Throws UsageError for λ ≤ 0. */
  async solve(lambdas: readonly number[]): Promise<FittedRidge[]> {
    if (this.covariance === undefined) throw new DataError("a ridge probe needs features to fit, got none");
    const target = centeredCrossProducts(this.byClass);
    const fitted: FittedRidge[] = [];
    for (const lambda of lambdas) {
      requireLambda(lambda);
      const shift = (lambda * traceOf(this.covariance)) / this.count;
      const system = await cholesky(this.covariance, this.gemm, { shift });
      fitted.push({ lambda, shift, weight: await system.solve(target) });
    }
    return fitted;
  }

  /** The probe of one λ with (ZᵀZ + rI)⁻¹, d × d, from which leave-one-out scores follow (leave-one-out.ts). */
  async factor(lambda: number): Promise<FittedRidge & { readonly inverse: Matrix }> {
    if (this.covariance === undefined) throw new DataError("a ridge probe needs features to fit, got none");
    requireLambda(lambda);
    const shift = (lambda * traceOf(this.covariance)) / this.count;
    const system = await cholesky(this.covariance, this.gemm, { shift });
    return {
      lambda,
      shift,
      weight: await system.solve(centeredCrossProducts(this.byClass)),
      inverse: await system.solve(identity(this.featureSize)),
    };
  }
}

/** Zᵀ Y for labels one-hot minus 1/C: (sum over the class) − (sum over all)/C, d × C. */
export function centeredCrossProducts({ sums }: ClassSums): Matrix {
  const out = transpose(sums);
  const { cols: classes } = out;
  for (let at = 0; at < out.data.length; at += classes) {
    let sum = 0;
    for (let c = at; c < at + classes; c++) sum += out.data[c];
    for (let c = at; c < at + classes; c++) out.data[c] -= sum / classes;
  }
  return out;
}
