import { innerProduct, type Matrix, matrix, subtract } from "../probe/matrix.ts";

/**
 * 1 − cos of the angle between two matrices taken as vectors, and its gradient with respect to `b`. Where one
 * of them is zero the angle has no meaning: loss 1, gradient 0.
 */
export function cosineDistance(a: Matrix, b: Matrix): { loss: number; gradient: Matrix } {
  const lengthA = Math.sqrt(innerProduct(a, a));
  const lengthB = Math.sqrt(innerProduct(b, b));
  const gradient = matrix(b.rows, b.cols);
  if (lengthA === 0 || lengthB === 0) return { loss: 1, gradient };
  const cos = innerProduct(a, b) / (lengthA * lengthB);
  for (let i = 0; i < gradient.data.length; i++) {
    gradient.data[i] = ((cos * b.data[i]) / lengthB - a.data[i] / lengthA) / lengthB;
  }
  return { loss: 1 - cos, gradient };
}

/** The columns of `w` divided by their 2-norms (zero columns stay zero), and the pullback of that division. */
export function normalizeColumns(w: Matrix): { values: Matrix; pullback: (cotangent: Matrix) => Matrix } {
  const inverse = columnDots(w, w);
  for (let j = 0; j < w.cols; j++) inverse[j] = inverse[j] > 0 ? 1 / Math.sqrt(inverse[j]) : 0;
  const values = scaleColumns(w, inverse);
  return {
    values,
    // ŵ = w/‖w‖: dL/dw = (ŵ̄ − ŵ ⟨ŵ, ŵ̄⟩) / ‖w‖, column by column.
    pullback(cotangent) {
      const along = scaleColumns(values, columnDots(values, cotangent));
      return scaleColumns(subtract(cotangent, along), inverse);
    },
  };
}

/** The inner product of each column of `a` with the same column of `b`. */
function columnDots(a: Matrix, b: Matrix): Float64Array {
  const { cols } = a;
  const out = new Float64Array(cols);
  for (let at = 0; at < a.data.length; at += cols) {
    for (let j = 0; j < cols; j++) out[j] += a.data[at + j] * b.data[at + j];
  }
  return out;
}

function scaleColumns(a: Matrix, factors: Float64Array): Matrix {
  const { rows, cols } = a;
  const out = matrix(rows, cols);
  for (let at = 0; at < out.data.length; at += cols) {
    for (let j = 0; j < cols; j++) out.data[at + j] = a.data[at + j] * factors[j];
  }
  return out;
}
