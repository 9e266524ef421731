import { UsageError } from "../errors.ts";
import type { Calibration } from "./calibration.ts";
import type { ClosedFormProbe } from "./closed-form.ts";
import { jsProduct } from "./gemm.ts";
import { accuracyOf, argmaxRows } from "./labels.ts";
import { type Matrix, shapeOf } from "./matrix.ts";
import { type Novelty, noveltyOf, residualsOf } from "./novelty.ts";
import { bestOfRows, softmaxRows } from "./probabilities.ts";

/** A closed-form probe that classifies. Features are n × d, as the encoder gives them: the probe applies its map. */
export interface Probe extends ClosedFormProbe {
  /** n × C, the higher the likelier. Throws RangeError for features of another size than the probe's. */
  scores(features: Matrix): Matrix;
  /** Absent in sets that were written before temperatures were. */
  readonly calibration?: Calibration;
  /** Absent in sets that were written before images of none of the classes were recognized by it. */
  readonly novelty?: Novelty;
  /**
   * n × C, rows sum to 1: softmax of scores over the temperature fitted on the training features.
   * @throws UsageError for a set without a recorded temperature
   */
  probabilities(features: Matrix): Matrix;
  /**
   * Whether each row may be of none of the classes: it is newer than 95 % of the training images, or in sets of earlier versions
   * its best score is below theirs.
   * @throws UsageError for a set without a recorded threshold
   */
  unknown(features: Matrix): boolean[];
  /** Class index of each row; the first of equal scores. */
  predict(features: Matrix): Int32Array;
  /** Accuracy, a fraction. @param labels class index of each row */
  score(features: Matrix, labels: ArrayLike<number>): number;
}

/** The probe with its predictions. */
export function probeOf(solved: ClosedFormProbe, calibration?: Calibration, novelty?: Novelty): Probe {
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
    ...(calibration ? { calibration } : {}),
    ...(novelty ? { novelty } : {}),
    scores,
    probabilities(features) {
      const { temperature } = requireCalibration(calibration);
      return softmaxRows(scores(features), temperature);
    },
    unknown(features) {
      const { unknownAbove, unknownBelow } = requireCalibration(calibration);
      const best = bestOfRows(scores(features));
      if (novelty === undefined || unknownAbove === undefined) {
        return Array.from(best, (score) => score < unknownBelow);
      }
      const found = noveltyOf(novelty.levels, residualsOf(novelty, features), best);
      return Array.from(found, (value) => value > unknownAbove);
    },
    predict: (features) => argmaxRows(scores(features)),
    score(features, labels) {
      if (labels.length === features.rows) return accuracyOf(scores(features), labels);
      throw new RangeError(`${features.rows} rows of features need as many labels, got ${labels.length}`);
    },
  };
}

/** Throws UsageError for a probe without a temperature: one of a set that was written before there was one. */
function requireCalibration(calibration: Calibration | undefined): Calibration {
  if (calibration !== undefined) return calibration;
  throw new UsageError(
    "This set has no recorded temperature, so its scores have no probabilities. Use predict and scores, or make the set " +
      "again: its temperature is then fitted and recorded.",
  );
}
