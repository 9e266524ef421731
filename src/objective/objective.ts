import { UsageError } from "../errors.ts";
import type { BatchRows } from "../probe/batch-rows.ts";
import type { Gemm } from "../probe/gemm.ts";
import type { Matrix } from "../probe/matrix.ts";
import type { Random } from "../random.ts";

/** All that an objective may look at in one step. Features are those after the feature map. */
export interface ObjectiveInput {
  /** Features of the synthetic images, m × d. */
  readonly Zs: Matrix;
  /** Their labels, m × C: one-hot minus 1/C, or learned. */
  readonly Ys: Matrix;
  /** A batch of real features, n × d, and their class indices. */
  readonly batch: { readonly Z: BatchRows; readonly y: Int32Array };
  /** Mean real feature of each class, C × d (`ClassSums`); for objectives with `needs.classMeans`. */
  readonly classMeans?: Matrix;
  /** Ridge strength relative to tr(K)/m. */
  readonly lambda: number;
  /** Temperature of the outer softmax. */
  readonly tau: number;
  /** The class anchors (columns of W) as they are, or L2-normalized. */
  readonly anchors: "raw" | "cosine";
  readonly random: Random;
  readonly gemm: Gemm;
}

/** The loss of one step and its gradients. Every objective leaves its input as it is. */
export interface ObjectiveValue {
  readonly loss: number;
  /** dL/dZs, m × d. */
  readonly dZs: Matrix;
  /** dL/dYs, m × C, of objectives with `learns.labels`. */
  readonly dYs?: Matrix;
  /** dL/dτ, of objectives with `learns.temperature`. */
  readonly dTau?: number;
  /** Share of the batch that the step's closed-form probe classifies correctly, of objectives that have one. */
  readonly batchAccuracy?: number;
}

/** A loss on synthetic features: (features, labels, real batch) → loss and cotangents. Pure. */
export interface Objective {
  /** What of the input it reads beside Zs and Ys: the others may be empty. */
  readonly needs: { readonly batch: boolean; readonly classMeans: boolean };
  /** What can be learned beside the images: it gives gradients for that. */
  readonly learns: { readonly labels: boolean; readonly temperature: boolean };
  /** Throws UsageError for τ ≤ 0 or λ ≤ 0 where it has them, NumericalError for a singular ridge. */
  evaluate(input: ObjectiveInput): Promise<ObjectiveValue>;
}

/** Throws UsageError unless `tau` is a finite number above 0. */
export function requireTau(tau: number): void {
  if (tau > 0 && tau < Number.POSITIVE_INFINITY) return;
  throw new UsageError(`tau (the temperature) must be a number above 0, got ${tau}. Try 0.1.`);
}
