import { type JudgedLabels, judgedLabels } from "../evaluate/check-labels.ts";
import { calibrationOf } from "../probe/calibration.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { fullDataLambdas } from "../probe/full-data.ts";
import type { Gemm } from "../probe/gemm.ts";
import { argmaxRows, centeredOneHot } from "../probe/labels.ts";
import { accumulated, leaveOneOut, leftOutRows } from "../probe/leave-one-out.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { fitSubspace } from "../probe/novelty.ts";
import { type Probe, probeOf } from "../probe/probe.ts";
import { solveRidge } from "../probe/ridge.ts";
import type { FeatureRows } from "../probe/rows.ts";

/** What all images so far give: a probe that classifies others, and what it says of each by itself without it. */
export interface Answer extends JudgedLabels {
  readonly probe: Probe;
  readonly lambda: number;
  /** Class of each row by the probe of all others. */
  readonly predicted: Int32Array;
}

/** Rows up to which λ and the subspace are fitted on all at each answer; of more, these are a sample. */
const lambdaRows = 320;

/**
 * The closed-form probe of all real images, with leave-one-out scores of each: exact, and solved in the smaller of sample and
 * feature space. λ is the one of the best leave-one-out accuracy on at most 320 rows.
 * @throws UsageError for fewer than two classes or a class without an image
 */
export async function answer(train: FeatureRows, classes: number, gemm: Gemm): Promise<Answer> {
  const [map] = await fitFeatureMaps(["center-l2"], train);
  const every = Math.max(1, Math.ceil(train.count / lambdaRows));
  const some = Int32Array.from({ length: Math.ceil(train.count / every) }, (_, i) => i * every);
  const mapped = async (rows: Int32Array): Promise<Matrix> => {
    const features = new Float32Array(rows.length * train.featureSize);
    await train.rows(rows, features);
    return map!.apply(features, rows.length).values;
  };
  const labelsOf = (rows: Int32Array) => Int32Array.from(rows, (row) => train.labels[row]!);
  const sample = await mapped(some);
  const sampleLabels = labelsOf(some);
  const sampleOneHot = centeredOneHot(sampleLabels, classes);
  let lambda = 1;
  let most = -1;
  for (const candidate of fullDataLambdas) {
    const { scores } = await leaveOneOut(sample, sampleOneHot, candidate, gemm);
    const predicted = argmaxRows(scores);
    const right = sampleLabels.filter((label, i) => predicted[i] === label).length;
    // Of equally good ones the largest, which fits the images least closely.
    if (right >= most) [lambda, most] = [candidate, right];
  }
  const solved = await solve(lambda);
  const judged = judgedLabels(solved.scores, train.labels);
  const everyRow = Int32Array.from({ length: train.count }, (_, i) => i);
  const calibration = calibrationOf(
    solved.scores,
    train.labels,
    await fitSubspace(train, everyRow, gemm, lambdaRows),
  );
  const probe = probeOf({ weight: solved.weight, map: map!, lambda }, calibration, calibration.novelty);
  return { ...judged, probe, lambda, predicted: argmaxRows(solved.scores) };

  /** Weight and leave-one-out scores of all rows. */
  async function solve(lambda: number): Promise<{ weight: Matrix; scores: Matrix }> {
    if (train.count <= train.featureSize) {
      const all = every === 1 ? sample : await mapped(Int32Array.from({ length: train.count }, (_, i) => i));
      const Y = centeredOneHot(train.labels, classes);
      const { scores } = await leaveOneOut(all, Y, lambda, gemm);
      return { scores, weight: (await solveRidge(all, Y, { lambda, gemm })).weight };
    }
    const ridge = await (await accumulated(train, classes, map!, gemm)).factor(lambda);
    const scores = matrix(train.count, classes);
    for await (const batch of leftOutRows(ridge, train, map!, gemm)) {
      scores.data.set(batch.scores.data, batch.indices[0]! * classes);
    }
    return { scores, weight: ridge.weight };
  }
}
