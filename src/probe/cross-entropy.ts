import { type Matrix, matrix } from "./matrix.ts";

/**
 * Replaces each row of `scores` by its softmax and returns each row's log Σ exp. The row's maximum is taken
 * out first, so that no exponential overflows.
 */
export function softmaxRows(scores: Matrix): Float64Array {
  const { rows, cols, data } = scores;
  const logs = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    const start = i * cols;
    const end = start + cols;
    let highest = Number.NEGATIVE_INFINITY;
    for (let j = start; j < end; j++) if (data[j] > highest) highest = data[j];
    let sum = 0;
    for (let j = start; j < end; j++) {
      const e = Math.exp(data[j] - highest);
      data[j] = e;
      sum += e;
    }
    const scale = 1 / sum;
    for (let j = start; j < end; j++) data[j] *= scale;
    logs[i] = highest + Math.log(sum);
  }
  return logs;
}

/**
 * Cross entropy of softmax(scores) against class indices, summed over the rows and divided by `count` (default
 * the number of rows: the mean), and its gradient with respect to the scores (n × C): (softmax − one-hot)/count.
 */
export function crossEntropy(
  scores: Matrix,
  labels: ArrayLike<number>,
  count: number = scores.rows,
): { loss: number; gradient: Matrix } {
  const { rows, cols } = scores;
  const gradient = matrix(rows, cols, scores.data.slice());
  const logs = softmaxRows(gradient);
  let loss = 0;
  for (let i = 0; i < rows; i++) {
    const at = i * cols + labels[i];
    loss += (logs[i] - scores.data[at]) / count;
    gradient.data[at] -= 1;
  }
  for (let i = 0; i < gradient.data.length; i++) gradient.data[i] /= count;
  return { loss, gradient };
}
