import { NumericalError, UsageError } from "../errors.ts";
import { cholesky } from "./cholesky.ts";
import { type Gemm, jsGemm } from "./gemm.ts";
import { gram } from "./gram.ts";
import { innerProduct, type Matrix, matrix, shapeOf, transpose } from "./matrix.ts";
import { type Nested, traceOf } from "./nested.ts";

export interface RidgeOptions {
  /** Strength of the regularisation relative to the mean squared row norm: r = λ · tr(Zs Zsᵀ) / m. Above 0. */
  readonly lambda: number;
  /** What multiplies matrices, default the JavaScript kernel. */
  readonly gemm?: Gemm;
  /** Which system is solved; default the smaller one. Both give the same W and the same adjoint. */
  readonly space?: "sample" | "feature";
}

/** A ridge regression and its adjoint, over one factorisation. */
export interface RidgeSolution {
  /** The probe's weight W, d × C; its columns are the class anchors. Scores of features Z (n × d) are Z W. */
  readonly weight: Matrix;
  /** The absolute regularisation r = λ · tr(Zs Zsᵀ) / m. */
  readonly shift: number;
  readonly space: "sample" | "feature";
  /**
   * The exact vector–Jacobian product of (Zs, Ys) → W: given dL/dW (d × C), the gradients dL/dZs (m × d) and
   * dL/dYs (m × C). r's dependence on Zs is included.
   */
  adjoint(cotangent: Matrix): Promise<{ dZs: Matrix; dYs: Matrix }>;
}

/**
 * Solves `min_W ‖Zs W − Ys‖² + r‖W‖²` in closed form, for features Zs (m × d) and labels Ys (m × C).
 *
 * With K = Zs Zsᵀ and r = λ tr(K)/m: W = Zsᵀ (K + rI)⁻¹ Ys (sample space, m × m), or the same
 * W = (ZsᵀZs + rI)⁻¹ Zsᵀ Ys (feature space, d × d): the smaller system is solved.
 *
 * Throws UsageError for λ ≤ 0, NumericalError for non-finite input (naming its row) and for a system that is
 * not positive definite to working precision.
 */
export async function solveRidge(Zs: Matrix, Ys: Matrix, options: RidgeOptions): Promise<RidgeSolution> {
  const { lambda, gemm = jsGemm } = options;
  requireLambda(lambda);
  if (Zs.rows !== Ys.rows || Zs.rows === 0) {
    throw new RangeError(`a ridge needs as many feature rows as label rows: ${shapeOf(Zs)}, ${shapeOf(Ys)}`);
  }
  requireFiniteMatrix(Ys, "labels");
  const space = options.space ?? (Zs.rows <= Zs.cols ? "sample" : "feature");
  const problem = { Zs, Ys, lambda, gemm };
  return space === "sample" ? inSampleSpace(problem) : inFeatureSpace(problem);
}

interface Problem {
  readonly Zs: Matrix;
  readonly Ys: Matrix;
  readonly lambda: number;
  readonly gemm: Gemm;
}

async function inSampleSpace({ Zs, Ys, lambda, gemm }: Problem): Promise<RidgeSolution> {
  const { rows: m, cols: d } = Zs;
  const K = await gram(Zs, gemm);
  const shift = (lambda * finiteTrace(K, Zs)) / m;
  const system = await cholesky(K, gemm, { shift });
  const A = await system.solve(Ys);
  const weight = await gemm.multiply(Zs, A, { transA: true });
  return {
    weight,
    shift,
    space: "sample",
    async adjoint(G) {
      const U = await system.solve(await gemm.multiply(Zs, G));
      const t = (2 * lambda * innerProduct(U, A)) / m; // r depends on Zs through tr(K)
      // dL/dZs = A Gᵀ − (U Aᵀ + A Uᵀ) Zs − t Zs: as it stands with few classes' worth of rows; with many rows
      // per class A (G − Zsᵀ U)ᵀ − U Wᵀ − t Zs, the same without an m × m product, takes less.
      if (m * (Ys.cols + d) < 2 * d * Ys.cols) {
        const S = symmetrized(await gemm.multiply(U, A, { transB: true }), t);
        const dZs = await gemm.multiply(A, G, { transB: true });
        return { dZs: await gemm.multiply(S, Zs, { alpha: -1, plus: dZs, into: dZs }), dYs: U };
      }
      const rest = await gemm.multiply(Zs, U, { transA: true, alpha: -1, plus: G });
      const dZs = await differenceOfOuter(A, rest, U, weight, gemm);
      return { dZs: subtractScaled(dZs, Zs, t), dYs: U };
    },
  };
}

async function inFeatureSpace({ Zs, Ys, lambda, gemm }: Problem): Promise<RidgeSolution> {
  const { rows: m, cols: d } = Zs;
  const covariance = await gram(Zs, gemm, { of: "columns" });
  const shift = (lambda * finiteTrace(covariance, Zs)) / m;
  const system = await cholesky(covariance, gemm, { shift });
  const weight = await system.solve(await gemm.multiply(Zs, Ys, { transA: true }));
  return {
    weight,
    shift,
    space: "feature",
    async adjoint(G) {
      // With V = (ZsᵀZs + rI)⁻¹ G, the sample-space terms are U = Zs V, r A = Ys − Zs W, G − Zsᵀ U = r V and
      // tr(Uᵀ A) = ⟨V, W⟩: r cancels from the products, so nothing is divided by a small r.
      const V = await system.solve(G);
      const U = await gemm.multiply(Zs, V);
      const t = (2 * lambda * innerProduct(V, weight)) / m;
      // dL/dZs = (Ys − Zs W) Vᵀ − Zs V Wᵀ − t Zs, or with many classes, where d × d products take less,
      // Ys Vᵀ − Zs (W Vᵀ + V Wᵀ + t I).
      if (d * (Ys.cols + m) < 2 * m * Ys.cols) {
        const S = symmetrized(await gemm.multiply(weight, V, { transB: true }), t);
        const dZs = await gemm.multiply(Ys, V, { transB: true });
        return { dZs: await gemm.multiply(Zs, S, { alpha: -1, plus: dZs, into: dZs }), dYs: U };
      }
      const residual = await gemm.multiply(Zs, weight, { alpha: -1, plus: Ys });
      const dZs = await differenceOfOuter(residual, V, U, weight, gemm);
      return { dZs: subtractScaled(dZs, Zs, t), dYs: U };
    },
  };
}

/** tr(K), which is Σ Zs²: not finite, as nothing after it would be, where a feature is not. */
function finiteTrace(K: Nested, Zs: Matrix): number {
  const sum = traceOf(K);
  if (!Number.isFinite(sum)) requireFiniteMatrix(Zs, "features");
  return sum;
}

/** p + pᵀ + t I for a square p. */
function symmetrized(p: Matrix, t: number): Matrix {
  const sum = transpose(p);
  const [to, from] = [sum.data, p.data];
  for (let i = 0; i < to.length; i++) to[i] += from[i];
  for (let i = 0; i < sum.rows; i++) to[i * (sum.cols + 1)] += t;
  return sum;
}

/** A Bᵀ − C Dᵀ as one product, [A C] [B −D]ᵀ: with few columns, writing the result takes longest. */
async function differenceOfOuter(A: Matrix, B: Matrix, C: Matrix, D: Matrix, gemm: Gemm): Promise<Matrix> {
  return gemm.multiply(beside(A, C, 1), beside(B, D, -1), { transB: true });
}

/** [a  factor·b] */
function beside(a: Matrix, b: Matrix, factor: number): Matrix {
  const cols = a.cols + b.cols;
  const out = new Float64Array(a.rows * cols);
  const [left, right] = [a.data, b.data];
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0, to = i * cols, from = i * a.cols; j < a.cols; j++) out[to + j] = left[from + j];
    for (let j = 0, to = i * cols + a.cols, from = i * b.cols; j < b.cols; j++) {
      out[to + j] = factor * right[from + j];
    }
  }
  return matrix(a.rows, cols, out);
}

/** Subtracts `factor · amount` from `target`, in place. */
function subtractScaled(target: Matrix, amount: Matrix, factor: number): Matrix {
  const [to, from] = [target.data, amount.data];
  for (let i = 0; i < to.length; i++) to[i] -= factor * from[i];
  return target;
}

/** Throws UsageError unless `lambda` is a finite number above 0. */
export function requireLambda(lambda: number): void {
  if (lambda > 0 && lambda < Number.POSITIVE_INFINITY) return;
  throw new UsageError(`lambda must be a number above 0, got ${lambda}. Try 0.1.`);
}

/** Throws NumericalError naming the first row of `a` that holds NaN or an infinity. */
export function requireFiniteMatrix(a: Matrix, what: string): void {
  const { data } = a;
  // 0 · x is NaN for an x that is not finite: half the time of asking for each.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += 0 * data[i];
  if (sum === 0) return;
  const at = data.findIndex((x) => !Number.isFinite(x));
  const row = Math.floor(at / a.cols);
  throw new NumericalError(
    `${what}: row ${row} of ${a.rows} holds ${data[at]} (column ${at % a.cols}), finite numbers were ` +
      "expected. Look at the image behind that row, and lower the learning rate if training diverged.",
  );
}
