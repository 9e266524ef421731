import { NumericalError } from "../errors.ts";
import { objectives } from "../objective/objectives.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { seededRandom } from "../random.ts";
import type { DistillParts, DistillState } from "./state.ts";
import type { StepImages } from "./synthetic-images.ts";

/** What the objective, averaged over the feature maps, says of one encoder's synthetic features. */
export interface Outcome {
  readonly loss: number;
  readonly batchAccuracy: number | undefined;
  readonly tau: number;
  /** dL/dfeatures, like the features. */
  readonly cotangents: Float32Array;
  /** dL/dlabels, m × C. */
  readonly dLabels: Float64Array;
  readonly dLogTau: number;
}

/**
 * The objective of one encoder at its `features`, views · m × d, on the real rows `indices`: of all views as the rows of one problem, or
 * averaged over the views, each by itself. In one problem a single view can do all the work, and the others none.
 * @param encoder its place among the encoders
 * @param purpose distinguishes the random numbers of several evaluations in one step
 * @throws NumericalError when the loss is not finite, and where every feature is zero
 */
export async function evaluateObjective(
  parts: DistillParts<StepImages>,
  encoder: number,
  state: DistillState,
  features: Float32Array,
  indices: Int32Array,
  purpose = "objective",
): Promise<Outcome> {
  const { config, classes, gemm } = parts;
  const { real, batches, maps, classMeans } = parts.encoders[encoder];
  // The first encoder's random numbers are those of a run with it alone.
  const drawn = encoder === 0 ? purpose : `${purpose}, encoder ${encoder}`;
  const d = real.featureSize;
  const m = parts.images.count;
  const total = features.length / d;
  /** Rows of one problem. One whose features are all zero has no gradient, and is left out of the average. */
  const rows = config.ridge === "joint" ? total : m;
  const problems = Array.from({ length: total / rows }, (_, i) => i * rows).filter(
    (start) => !isZero(features.subarray(start * d, (start + rows) * d)),
  );
  if (problems.length === 0) throw deadFeatures(state.step);
  const losses = problems.length * maps.length;
  const y = Int32Array.from(indices, (i) => real.labels[i]);
  const labels = tiled(state.labels.values, m, classes, rows / m);
  const tau = Math.exp(state.logTau.values[0]);
  const cotangents = new Float32Array(features.length);
  const dLabels = new Float64Array(m * classes);
  let dLogTau = 0;
  let loss = 0;
  let batchAccuracy: number | undefined;
  const parted = problems.flatMap((start) => maps.map((map, k) => ({ start, map, k })));
  const batch = await batches.batch(indices, parted.length);
  const evaluated = await Promise.all(
    parted.map(async ({ start, map, k }) => {
      try {
        const mapped = map.apply(features.subarray(start * d, (start + rows) * d), rows);
        const outcome = await objectives[config.method].evaluate({
          Zs: mapped.values,
          Ys: labels,
          batch: { Z: batch.rows[k], y },
          ...(classMeans ? { classMeans: classMeans[k] } : {}),
          lambda: config.lambda,
          tau,
          anchors: config.anchors,
          random: seededRandom(config.seed, `${drawn} ${state.step} ${k}`),
          gemm,
        });
        return { mapped, outcome };
      } finally {
        batch.done();
      }
    }),
  );
  for (const [i, { start, map }] of parted.entries()) {
    const { mapped, outcome } = evaluated[i];
    if (!Number.isFinite(outcome.loss)) {
      throw new NumericalError(
        `The loss is not finite (${outcome.loss}) at step ${state.step + 1}. Lower \`learningRate\`, or raise \`lambda\` or \`tau\`.`,
      );
    }
    loss += outcome.loss / losses;
    batchAccuracy ??= outcome.batchAccuracy;
    const dZ = map.pullback(mapped, outcome.dZs);
    for (let at = 0; at < dZ.data.length; at++) cotangents[start * d + at] += dZ.data[at] / losses;
    if (outcome.dYs)
      for (let at = 0; at < outcome.dYs.data.length; at++)
        dLabels[at % dLabels.length] += outcome.dYs.data[at] / losses;
    if (outcome.dTau !== undefined) dLogTau += (outcome.dTau * tau) / losses;
  }
  return { loss, batchAccuracy, tau, cotangents, dLabels, dLogTau };
}

/** Whether all numbers are zero. */
export const isZero = (values: Float32Array): boolean => values.every((value) => value === 0);

const deadFeatures = (step: number): NumericalError =>
  new NumericalError(
    `At step ${step + 1} the encoder gives features of zero for every synthetic image, from where no gradient leads ` +
      "away. Give another `size`, `init: 'centroid'`, or another `feature`.",
  );

/** The labels of `views` copies of the synthetic set, (views · m) × C. */
function tiled(labels: Float32Array, m: number, classes: number, views: number): Matrix {
  const data = new Float64Array(views * m * classes);
  for (let view = 0; view < views; view++) data.set(labels, view * m * classes);
  return matrix(views * m, classes, data);
}
