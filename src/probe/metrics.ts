/**
 * What a probe's predictions on a labeled set amount to. Accuracies are fractions. Of classes with equal scores the
 * first is ahead, and a score that is not finite is behind all others: a true class with one is never right.
 */
export interface Metrics {
  readonly count: number;
  readonly top1: number;
  /** Among the five best scores; absent with fewer than six classes. */
  readonly top5?: number;
  /** Accuracy of each class; NaN for a class without an image. */
  readonly perClass: readonly number[];
  /** confusion[truth][prediction]: numbers of images. */
  readonly confusion: readonly (readonly number[])[];
  /** Expected calibration error of the probabilities (15 bins), where the probe has a temperature. */
  readonly calibrationError?: number;
  /** Lowest accuracy among the groups, where the data set has groups. */
  readonly worstGroup?: number;
}

/** Adds up predictions batch by batch. */
export class MetricsAccumulator {
  private readonly classes: number;
  private readonly confusion: Float64Array;
  private readonly groups = new Map<number, { right: number; count: number }>();
  private count = 0;
  private right = 0;
  private rightInFive = 0;

  constructor(classes: number) {
    this.classes = classes;
    this.confusion = new Float64Array(classes * classes);
  }

  /** @param scores n × C, row-major; @param labels n; @param groups n, where there are groups */
  add(scores: ArrayLike<number>, labels: ArrayLike<number>, groups?: ArrayLike<number>): void {
    const C = this.classes;
    for (let i = 0; i < labels.length; i++) {
      const truth = labels[i];
      const row = i * C;
      const own = finiteOrLast(scores[row + truth]);
      let best = -1;
      let highest = Number.NEGATIVE_INFINITY;
      let ahead = 0;
      for (let c = 0; c < C; c++) {
        const score = finiteOrLast(scores[row + c]);
        if (score > highest) {
          best = c;
          highest = score;
        }
        if (score > own || (score === own && c < truth)) ahead++;
      }
      // No finite score predicts no class: counted as a wrong one.
      if (best < 0) best = (truth + 1) % C;
      this.count++;
      const right = best === truth ? 1 : 0;
      this.right += right;
      if (ahead < 5 && own > Number.NEGATIVE_INFINITY) this.rightInFive++;
      this.confusion[truth * C + best]++;
      if (groups !== undefined) {
        const group = this.groups.get(groups[i]) ?? { right: 0, count: 0 };
        group.right += right;
        group.count++;
        this.groups.set(groups[i], group);
      }
    }
  }

  result(): Metrics {
    const C = this.classes;
    const rows = Array.from({ length: C }, (_, c) => Array.from(this.confusion.subarray(c * C, (c + 1) * C)));
    const perClass = rows.map((row, c) => row[c] / row.reduce((sum, n) => sum + n, 0));
    const groups = [...this.groups.values()].map(({ right, count }) => right / count);
    return {
      count: this.count,
      top1: this.right / this.count,
      ...(C > 5 ? { top5: this.rightInFive / this.count } : {}),
      perClass,
      confusion: rows,
      ...(groups.length > 0 ? { worstGroup: Math.min(...groups) } : {}),
    };
  }
}

const finiteOrLast = (score: number): number => (Number.isFinite(score) ? score : Number.NEGATIVE_INFINITY);

/** Mean and standard deviation (n − 1) over seeds; that of one number is 0. */
export function meanStd(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { mean, std: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 };
}

/** Standard error of an accuracy (a fraction) that was measured on `count` images. */
export const standardError = (accuracy: number, count: number): number =>
  Math.sqrt((accuracy * (1 - accuracy)) / count);

/**
 * Standard error of the share `accuracy / full` by the delta method, as if the two had been measured on other images each:
 * on the same ones, where both are right and wrong together, it is at most about that.
 */
export function shareError(accuracy: number, full: number, count: number): number {
  const relative = (p: number) => standardError(p, count) / p;
  return accuracy === 0
    ? standardError(0, count)
    : (accuracy / full) * Math.hypot(relative(accuracy), relative(full));
}
