import { bestOfRows, matrix, noveltyOf, type Probe, residualsOf } from "../../src/browser/index.ts";
import type { Classified } from "./protocol.ts";

/** What a probe says of an image's features. */
export function classified(probe: Probe, features: Float32Array): Classified {
  const row = matrix(1, features.length, Float64Array.from(features));
  const scores = probe.scores(row);
  if (probe.calibration === undefined) {
    return { probabilities: [...scores.data], unknown: false, none: undefined };
  }
  const { temperature, unknownAbove, unknownBelow } = probe.calibration;
  const best = bestOfRows(scores);
  // By how much the image is beyond the threshold: in standard deviations of the training images, or in logits for sets of
  // earlier versions.
  const beyond =
    probe.novelty === undefined || unknownAbove === undefined
      ? (unknownBelow - best[0]!) / temperature
      : noveltyOf(probe.novelty.levels, residualsOf(probe.novelty, row), best)[0]! - unknownAbove;
  return {
    probabilities: [...probe.probabilities(row).data],
    unknown: probe.unknown(row)[0]!,
    none: 1 / (1 + Math.exp(-beyond)),
  };
}
