import type { FeatureMap } from "./feature-map.ts";
import type { Gemm } from "./gemm.ts";
import { centeredOneHot } from "./labels.ts";
import type { Matrix } from "./matrix.ts";
import { type Metrics, MetricsAccumulator } from "./metrics.ts";
import { CalibrationError, softmaxRows } from "./probabilities.ts";
import { solveRidge } from "./ridge.ts";
import { type FeatureRows, sequentialBatches } from "./rows.ts";

/** A closed-form probe: scores = g(features) · weight. */
export interface ClosedFormProbe {
  /** d × C. */
  readonly weight: Matrix;
  readonly map: FeatureMap;
  readonly lambda: number;
}

/**
 * Solves the probe of a labeled set of features.
 * @param features m × d, raw; @param labels m × C, one-hot minus 1/C or learned
 */
export async function fitClosedForm(
  features: Float32Array,
  labels: Matrix,
  map: FeatureMap,
  lambda: number,
  gemm: Gemm,
): Promise<ClosedFormProbe> {
  const { values } = map.apply(features, labels.rows);
  const { weight } = await solveRidge(values, labels, { lambda, gemm });
  return { weight, map, lambda };
}

/** Solves the probe of some of the real training features. */
export async function fitClosedFormOnRows(
  train: FeatureRows,
  rows: Int32Array,
  classes: number,
  map: FeatureMap,
  lambda: number,
  gemm: Gemm,
): Promise<ClosedFormProbe> {
  const features = new Float32Array(rows.length * train.featureSize);
  await train.rows(rows, features);
  const labels = centeredOneHot(
    Int32Array.from(rows, (row) => train.labels[row]),
    classes,
  );
  return fitClosedForm(features, labels, map, lambda, gemm);
}

/** Metrics of a probe on labeled features, streamed; by the rows' own groups where they have some. */
export async function evaluateClosedForm(
  probe: ClosedFormProbe,
  test: FeatureRows,
  gemm: Gemm,
  options: {
    readonly indices?: Int32Array;
    readonly groups?: Int32Array;
    /** What makes probabilities of the scores, whose calibration error is then measured. */
    readonly temperature?: number;
  } = {},
): Promise<Metrics> {
  const { temperature } = options;
  const metrics = new MetricsAccumulator(probe.weight.cols);
  const calibration = new CalibrationError();
  for await (const { features, labels, indices } of sequentialBatches(test, options)) {
    const { values } = probe.map.apply(features, labels.length);
    const scores = await gemm.multiply(values, probe.weight);
    if (temperature !== undefined) calibration.add(softmaxRows(scores, temperature), labels);
    const { groups = test.groups } = options;
    metrics.add(scores.data, labels, groups && Int32Array.from(indices, (i) => groups[i]));
  }
  const result = metrics.result();
  return temperature === undefined ? result : { ...result, calibrationError: calibration.result() };
}
