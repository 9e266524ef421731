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

interface EvaluationOptions {
  readonly indices?: Int32Array;
  readonly groups?: Int32Array;
  /** What makes probabilities of the scores, whose calibration error is then measured. */
  readonly temperature?: number;
}

/** Metrics of a probe on labeled features, streamed; by the rows' own groups where they have some. */
export async function evaluateClosedForm(
  probe: ClosedFormProbe,
  test: FeatureRows,
  gemm: Gemm,
  options: EvaluationOptions = {},
): Promise<Metrics> {
  const [metrics] = await evaluateClosedForms([probe], test, gemm, options);
  return metrics;
}

/** The same for several probes of one feature map, for which each row is read and mapped once. */
export async function evaluateClosedForms(
  probes: readonly ClosedFormProbe[],
  test: FeatureRows,
  gemm: Gemm,
  options: EvaluationOptions = {},
): Promise<Metrics[]> {
  const { temperature } = options;
  const each = probes.map(({ weight }) => ({
    weight,
    metrics: new MetricsAccumulator(weight.cols),
    calibration: new CalibrationError(),
  }));
  if (each.length === 0) return [];
  const [{ map }] = probes;
  for await (const { features, labels, indices } of sequentialBatches(test, options)) {
    const { values } = map.apply(features, labels.length);
    const { groups = test.groups } = options;
    const own = groups && Int32Array.from(indices, (i) => groups[i]);
    for (const { weight, metrics, calibration } of each) {
      const scores = await gemm.multiply(values, weight);
      if (temperature !== undefined) calibration.add(softmaxRows(scores, temperature), labels);
      metrics.add(scores.data, labels, own);
    }
  }
  return each.map(({ metrics, calibration }) => {
    const result = metrics.result();
    return temperature === undefined ? result : { ...result, calibrationError: calibration.result() };
  });
}
