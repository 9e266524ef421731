import { type Matrix, matrix } from "./matrix.ts";

/** The largest score of each row. */
export function bestOfRows({ rows, cols, data }: Matrix): Float64Array {
  const out = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < data.length; i++) {
    const row = Math.floor(i / cols);
    if (data[i] > out[row]) out[row] = data[i];
  }
  return out;
}

/** softmax(scores / temperature) of each row, n × C. */
export function softmaxRows({ rows, cols, data }: Matrix, temperature: number): Matrix {
  const out = matrix(rows, cols);
  for (let i = 0; i < rows; i++) {
    const at = i * cols;
    let highest = Number.NEGATIVE_INFINITY;
    for (let c = at; c < at + cols; c++) highest = Math.max(highest, data[c]);
    let sum = 0;
    for (let c = at; c < at + cols; c++) sum += out.data[c] = Math.exp((data[c] - highest) / temperature);
    for (let c = at; c < at + cols; c++) out.data[c] /= sum;
  }
  return out;
}

/** Bins of equal width of the expected calibration error. */
const calibrationBins = 15;

/** Adds up how far confidence is from accuracy, batch by batch (Naeini et al. 2015). */
export class CalibrationError {
  private readonly counts = new Float64Array(calibrationBins);
  private readonly gaps = new Float64Array(calibrationBins);

  /** @param probabilities n × C; @param labels n */
  add({ rows, cols, data }: Matrix, labels: ArrayLike<number>): void {
    for (let i = 0; i < rows; i++) {
      let best = 0;
      for (let c = 1; c < cols; c++) if (data[i * cols + c] > data[i * cols + best]) best = c;
      const confidence = data[i * cols + best];
      const bin = Math.min(calibrationBins - 1, Math.floor(confidence * calibrationBins));
      this.counts[bin]++;
      this.gaps[bin] += confidence - (best === labels[i] ? 1 : 0);
    }
  }

  /** Σ over bins of share × |mean confidence − accuracy|, a fraction. */
  result(): number {
    const count = this.counts.reduce((sum, n) => sum + n, 0);
    return this.gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / count;
  }
}
