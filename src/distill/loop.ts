import { InterruptedError } from "../errors.ts";
import { BatchSampler } from "../features/batch-sampler.ts";
import { objectives } from "../objective/objectives.ts";
import { centeredOneHot } from "../probe/labels.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { adamBlock, adamStep } from "../synthetic/adam.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import { evaluateObjective, isZero, type Outcome } from "./evaluate-objective.ts";
import type { DistillParts, DistillState, StepReport } from "./state.ts";
import { addPull, chooseTargets } from "./target-features.ts";
import { viewCount } from "./views.ts";

/** The state of a run that starts from given parameters. */
export function initialState(
  config: DistillConfig,
  classes: number,
  realCount: number,
  parameters: Pick<SyntheticParameters, "levels" | "adamSteps">,
): DistillState {
  return {
    step: 0,
    levels: parameters.levels.length,
    adamSteps: parameters.adamSteps,
    sampler: new BatchSampler(realCount, Math.min(config.batchSize, realCount), config.seed),
    labels: adamBlock(Float32Array.from(centeredOneHot(syntheticLabels(classes, config.ipc), classes).data)),
    logTau: adamBlock(Float32Array.of(Math.log(config.tau))),
  };
}

/** Class of each synthetic image: ipc of class 0, then of class 1, … */
export function syntheticLabels(classes: number, ipc: number): Int32Array {
  return Int32Array.from({ length: classes * ipc }, (_, i) => Math.floor(i / ipc));
}

/**
 * One step: the images' features, the probe solved in closed form, and an update along the gradient of its loss. The
 * update may still be under way when this returns (`SyntheticImages.update`).
 * @throws NumericalError when the loss is not finite; InterruptedError, with the state as it was, when the choice of
 * target features is stopped
 */
export async function distillStep(parts: DistillParts, state: DistillState): Promise<StepReport> {
  const { config, images, encoders } = parts;
  const sizes = encoders.map(({ real }) => real.featureSize);
  const canGrow = () => state.levels < images.levelCount;
  const grow = () => {
    state.levels++;
    state.adamSteps = 0;
  };
  const before = state.sampler.state;
  // Features of images that are little more than noise are no start for new targets: the last level waits too.
  const settled = !canGrow() && state.adamSteps >= config.targets;
  if (state.step > 0 && state.step % config.levelEvery === 0 && canGrow()) grow();
  const learningRate = learningRateAt(config, state.step);

  const indices = realRows(parts, state);
  // Rows on a disk come while the encoder works.
  for (const { batches } of encoders) batches.readAhead(indices);
  const encoded = async () => splitColumns(await images.features(state.step, state.levels), sizes);
  let features = await encoded();
  while (hasDeadView(features, viewCount(config)) && canGrow()) {
    grow();
    features = await encoded();
  }

  const outcomes: Outcome[] = [];
  for (const [k, own] of features.entries())
    outcomes.push(await evaluateObjective(parts, k, state, own, indices));
  // No level is due in a step that may be stopped here; one that was added against zeros is there when it is run again.
  const choose = state.targets === undefined || (settled && state.step % config.targets === 0);
  if (encoders[0].targets && choose) {
    try {
      state.targets = await allTargets(parts, state, features, sizes);
    } catch (error) {
      state.sampler = BatchSampler.from(before);
      throw error;
    }
  }
  if (state.targets) {
    for (const [k, targets] of splitColumns(state.targets, sizes).entries())
      addPull(outcomes[k].cotangents, features[k], targets, config.targetWeight);
  }

  const cotangents = outcomes.map((outcome) => outcome.cotangents);
  images.update(joinColumns(cotangents, sizes), learningRate);
  state.adamSteps++;
  state.step++;
  const [{ tau, batchAccuracy }] = outcomes;
  if (config.learnLabels) {
    const gradient = outcomes
      .map(({ dLabels }) => dLabels)
      .reduce((sum, own) => sum.map((x, i) => x + own[i]));
    adamStep(state.labels, Float32Array.from(gradient), 0, state.step, learningRate);
  }
  if (config.learnTemperature) {
    const gradient = outcomes.reduce((sum, { dLogTau }) => sum + dLogTau, 0);
    adamStep(state.logTau, Float32Array.of(gradient), 0, state.step, learningRate);
  }
  const loss = outcomes.reduce((sum, outcome) => sum + outcome.loss, 0);
  return { step: state.step, loss, batchAccuracy, levels: state.levels, tau };
}

/**
 * Whether some encoder has features of zero in some view, as plain colors may have behind a last ReLU: no gradient leads
 * away from there.
 */
function hasDeadView(features: readonly Float32Array[], views: number): boolean {
  return features.some((own) => {
    const length = own.length / views;
    return Array.from({ length: views }, (_, view) => view * length).some((at) =>
      isZero(own.subarray(at, at + length)),
    );
  });
}

/** The next targets of each encoder, m × d of all together. */
async function allTargets(
  parts: DistillParts,
  state: DistillState,
  features: readonly Float32Array[],
  sizes: readonly number[],
): Promise<Float32Array> {
  const chosen: Float32Array[] = [];
  for (const k of parts.encoders.keys()) chosen.push(await nextTargets(parts, k, state, features[k]));
  return joinColumns(chosen, sizes);
}

/** The next batch of real rows; none for an objective that looks at class means alone. */
function realRows({ config }: DistillParts, { sampler }: DistillState): Int32Array {
  return objectives[config.method].needs.batch ? sampler.next() : new Int32Array(0);
}

/** Steps of one choice of targets, and of the first, which starts far from where it ends. */
export const choiceSteps = 50;
const firstChoiceSteps = 150;
/** Images up to which a choice has all its steps. One costs as much as a ridge solve, which grows with their square. */
const cheapImages = 200;

/** Steps of a choice for `count` images: of thousands none, and the targets are then the means they start from. */
export const choiceStepsFor = (steps: number, count: number): number =>
  Math.floor(steps * Math.min(1, (cheapImages / count) ** 2));

/**
 * Targets of one encoder, chosen from class means at first, from the images' features later.
 * @param encoder its place among the encoders; it chooses targets
 * @param features of that encoder, views · m × d
 * @param steps evaluations of the objective that it takes
 */
export async function nextTargets(
  parts: DistillParts,
  encoder: number,
  state: DistillState,
  features: Float32Array,
  steps = choiceStepsFor(state.targets ? choiceSteps : firstChoiceSteps, parts.images.count),
): Promise<Float32Array> {
  const { range, start, onProgress, signal } = parts.encoders[encoder].targets!;
  let done = 0;
  const from = state.targets ? meanOfViews(features, start.length) : start;
  return chooseTargets(from, range, steps, async (values) => {
    if (signal?.aborted) {
      throw new InterruptedError(`Stopped after step ${state.step} of ${parts.config.steps}.`);
    }
    onProgress?.(done, steps);
    const rows = realRows(parts, state);
    return (await evaluateObjective(parts, encoder, state, values, rows, `target ${done++}`)).cotangents;
  });
}

/** The mean over an image's views, `length` numbers. */
function meanOfViews(features: Float32Array, length: number): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < features.length; i++) out[i % length] += (features[i] * length) / features.length;
  return out;
}

/** The learning rate of step `step` (from 0) of the run. */
function learningRateAt(
  config: Pick<DistillConfig, "learningRate" | "schedule" | "steps">,
  step: number,
): number {
  const share = config.schedule === "cosine" ? (1 + Math.cos((Math.PI * step) / config.steps)) / 2 : 1;
  return config.learningRate * share;
}
