import { matrix, type Probe } from "../../src/browser/index.ts";
import type { Classified } from "./protocol.ts";

/** What a probe says of an image's features. */
export function classified(probe: Probe, features: Float32Array): Classified {
  const row = matrix(1, features.length, Float64Array.from(features));
  const scores = probe.scores(row).data;
  if (probe.calibration === undefined) return { probabilities: [...scores], unknown: false, none: undefined };
  const { temperature, unknownBelow } = probe.calibration;
  const others = scores.reduce((sum, score) => sum + Math.exp((score - unknownBelow) / temperature), 0);
  return {
    probabilities: [...probe.probabilities(row).data],
    unknown: probe.unknown(row)[0]!,
    none: 1 / (1 + others),
  };
}
