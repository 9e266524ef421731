import type { ClosedFormProbe } from "./closed-form.ts";
import { jsProduct } from "./gemm.ts";
import { accuracyOf, argmaxRows } from "./labels.ts";
import { type Matrix, shapeOf } from "./matrix.ts";

/** A closed-form probe that classifies. Features are n × d, as the encoder gives them: the probe applies its map. */
export interface Probe extends ClosedFormProbe {
  /** n × C, the higher the likelier. Throws RangeError for features of another size than the probe's. */
  scores(features: Matrix): Matrix;
  /** Class index of each row; the first of equal scores. */
  predict(features: Matrix): Int32Array;
  /** Accuracy, a fraction. @param labels class index of each row */
  score(features: Matrix, labels: ArrayLike<number>): number;
}

/** The probe with its predictions. */
export function probeOf(solved: ClosedFormProbe): Probe {
  const scores = (features: Matrix): Matrix => {
    if (features.cols !== solved.weight.rows) {
      throw new RangeError(
        `The probe takes features n × ${solved.weight.rows}, got ${shapeOf(features)}. Expected those of the encoder ` +
          "that it was solved with, by its own feature tensor and pooling.",
      );
    }
    return jsProduct(solved.map.apply(features.data, features.rows).values, solved.weight);
  };
  return {
    ...solved,
    scores,
    predict: (features) => argmaxRows(scores(features)),
    score(features, labels) {
      if (labels.length === features.rows) return accuracyOf(scores(features), labels);
      throw new RangeError(`${features.rows} rows of features need as many labels, got ${labels.length}`);
    },
  };
}
