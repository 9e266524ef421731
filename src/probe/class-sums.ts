import { requireLabel } from "./labels.ts";
import { type Matrix, matrix } from "./matrix.ts";

/** Sums of features by class, over batches, in float64: class means, centroids, and Zᵀ·one-hot for a ridge. */
export class ClassSums {
  /** Σ of the features of each class, C × d. */
  readonly sums: Matrix;
  /** Features of each class seen so far. */
  readonly counts: Float64Array;
  private seen = 0;

  constructor(classes: number, featureSize: number) {
    this.sums = matrix(classes, featureSize);
    this.counts = new Float64Array(classes);
  }

  /** Features seen so far, all classes together. */
  get count(): number {
    return this.seen;
  }

  /** Adds the rows of `features` (n × d) to the classes `labels` (n). Throws DataError for a label out of range. */
  add(features: Matrix, labels: ArrayLike<number>): void {
    const { rows: classes, cols: d, data } = this.sums;
    if (features.cols !== d || features.rows !== labels.length) {
      throw new RangeError(
        `got ${features.rows} features of size ${features.cols} and ${labels.length} labels, ` +
          `expected as many labels as features, of size ${d}`,
      );
    }
    for (let i = 0; i < labels.length; i++) requireLabel(labels[i], this.seen + i, classes);
    for (let i = 0; i < labels.length; i++) {
      const to = labels[i] * d;
      const from = i * d;
      for (let j = 0; j < d; j++) data[to + j] += features.data[from + j];
      this.counts[labels[i]!]++;
    }
    this.seen += labels.length;
  }

  /** Adds what another one of the same shape has seen. */
  merge(other: ClassSums): void {
    if (other.sums.rows !== this.sums.rows || other.sums.cols !== this.sums.cols) {
      throw new RangeError("sums over different classes or feature sizes cannot be merged");
    }
    for (let i = 0; i < this.sums.data.length; i++) this.sums.data[i] += other.sums.data[i];
    for (let c = 0; c < this.counts.length; c++) this.counts[c] += other.counts[c];
    this.seen += other.seen;
  }

  /** The mean feature of each class, C × d; zero for a class without features. */
  means(): Matrix {
    const { rows, cols, data } = this.sums;
    return matrix(
      rows,
      cols,
      data.map((x, i) => x / Math.max(1, this.counts[Math.floor(i / cols)])),
    );
  }
}
