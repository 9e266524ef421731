import { DataError } from "../errors.ts";
import { ClassSums } from "../probe/class-sums.ts";
import { argmaxRows } from "../probe/labels.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { cosineDistance } from "./cosine.ts";
import type { Objective } from "./objective.ts";

/**
 * Statistical flow matching (SFM, arXiv 2602.05391): 1 − cos between the flows of the real and the synthetic
 * class means, flow_c = mean_{j≠c} μ_j − μ_c. A synthetic image belongs to the class where its label is
 * largest; every class needs one.
 */
export const sfm: Objective = {
  needs: { batch: false, classMeans: true },
  learns: { labels: false, temperature: false },
  async evaluate({ Zs, Ys, classMeans }) {
    const C = Ys.cols;
    if (classMeans === undefined) throw new RangeError("sfm needs the class means of the real features");
    const labels = argmaxRows(Ys);
    const own = new ClassSums(C, Zs.cols);
    own.add(Zs, labels);
    const empty = own.counts.indexOf(0);
    if (empty >= 0) {
      throw new DataError(
        `sfm compares class means, and class ${empty} has no synthetic image. Give each class one or more.`,
      );
    }
    const { loss, gradient } = cosineDistance(flows(classMeans), flows(own.means()));
    // The flow is linear and symmetric in the classes, so its pullback to the means is the flow of the cotangent.
    const byMean = flows(gradient);
    const dZs = matrix(Zs.rows, Zs.cols);
    for (let i = 0; i < Zs.rows; i++) {
      const share = 1 / own.counts[labels[i]!];
      for (let j = 0; j < Zs.cols; j++) {
        dZs.data[i * Zs.cols + j] = share * byMean.data[labels[i]! * Zs.cols + j];
      }
    }
    return { loss, dZs };
  },
};

/** flow_c = mean of the other classes' rows − row c. */
function flows(means: Matrix): Matrix {
  const { rows: C, cols: d, data } = means;
  const out = matrix(C, d);
  for (let j = 0; j < d; j++) {
    let total = 0;
    for (let c = 0; c < C; c++) total += data[c * d + j];
    for (let at = j; at < data.length; at += d) out.data[at] = (total - data[at]) / (C - 1) - data[at];
  }
  return out;
}
