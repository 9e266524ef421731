import { InterruptedError } from "../errors.ts";
import { BatchSampler } from "../features/batch-sampler.ts";
import { objectives } from "../objective/objectives.ts";
import { centeredOneHot } from "../probe/labels.ts";
import { seededRandom } from "../random.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { adamBlock, adamStep } from "../synthetic/adam.ts";
import { addLevel, canGrow, type SyntheticParameters } from "../synthetic/parameters.ts";
import type { Renderer } from "../synthetic/renderer.ts";
import { evaluateObjective, isZero } from "./evaluate-objective.ts";
import type { DistillParts, DistillState, StepReport, TargetParts } from "./state.ts";
import { addPull, chooseTargets } from "./target-features.ts";
import { drawOf, viewCount } from "./views.ts";

/** A fresh state around given parameters. */
export function initialState(
  config: DistillConfig,
  classes: number,
  realCount: number,
  parameters: SyntheticParameters,
): DistillState {
  return {
    step: 0,
    parameters,
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
 * One step: render, encode, solve the probe in closed form, pull the loss's gradient back to the parameters.
 * Images go through in chunks twice (features, then pullback), because the loss needs all features.
 * @throws NumericalError when the loss is not finite; InterruptedError, with the state as it was, when the choice of
 * target features is stopped
 */
export async function distillStep(parts: DistillParts, state: DistillState): Promise<StepReport> {
  const { config, encoder, renderer, augmenter, batches } = parts;
  const { parameters } = state;
  const grow = () => addLevel(parameters, seededRandom(config.seed, `level ${parameters.levels.length}`));
  const before = state.sampler.state;
  // Features of images that are little more than noise are no start for new targets: the last level waits too.
  const settled = !canGrow(parameters) && parameters.adamSteps >= config.targets;
  if (state.step > 0 && state.step % config.levelEvery === 0 && canGrow(parameters)) grow();
  const m = parameters.count;
  const d = encoder.featureSize;
  const { batch, chunks } = encoder.plan;
  const views = viewCount(config);
  const learningRate = learningRateAt(config, state.step);

  const indices = realRows(parts, state);
  // Rows on a disk come while the encoder works.
  batches.readAhead(indices);
  let pass = await encodeImages(parts, state);
  // From features of zero, as plain colours may have behind a last ReLU, no gradient leads away.
  while (isZero(pass.features) && canGrow(parameters)) {
    grow();
    pass = await encodeImages(parts, state);
  }
  const { features } = pass;

  const outcome = await evaluateObjective(parts, state, features, indices);
  const { cotangents, dLabels, dLogTau, loss, batchAccuracy } = outcome;
  // No level is due in a step that may be stopped here; one that was added against zeros is there when it is run again.
  if (parts.targets && (state.targets === undefined || (settled && state.step % config.targets === 0))) {
    try {
      state.targets = await nextTargets(parts, parts.targets, state, features);
    } catch (error) {
      state.sampler = BatchSampler.from(before);
      throw error;
    }
  }
  if (state.targets) addPull(cotangents, features, state.targets, config.targetWeight);

  /** What the encoder's last pullback was written to; free again once it is added to the image's total. */
  let into: Float32Array | undefined;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const images = await pass.imagesOf(chunk);
    const count = Math.min(batch, m - chunk * batch);
    const total = new Float32Array(images.length);
    for (let view = 0; view < views; view++) {
      const cotangent = new Float32Array(batch * d);
      const at = (view * m + chunk * batch) * d;
      cotangent.set(cotangents.subarray(at, at + count * d));
      const input = await pass.inputOf(images, view, chunk);
      into = await encoder.pullback(chunk * views + view, input, cotangent, into);
      const draw = drawOf(config, view);
      const back =
        draw === undefined ? into : await augmenter!.pullback(into, state.step, draw, chunk * batch);
      for (let i = 0; i < total.length; i++) total[i]! += back[i]!;
    }
    await renderer.update(parameters, chunk * batch, images, total, learningRate);
  }
  parameters.adamSteps++;
  state.step++;
  if (config.learnLabels) adamStep(state.labels, Float32Array.from(dLabels), 0, state.step, learningRate);
  if (config.learnTemperature) {
    adamStep(state.logTau, Float32Array.of(dLogTau), 0, state.step, learningRate);
  }
  return { step: state.step, loss, batchAccuracy, levels: parameters.levels.length, tau: outcome.tau };
}

/** The synthetic images of a step, as they are rendered and as the encoder sees them, and their features. */
interface Pass {
  /** views · m × d. */
  readonly features: Float32Array;
  imagesOf(chunk: number): Promise<Float32Array>;
  inputOf(images: Float32Array, view: number, chunk: number): Promise<Float32Array>;
}

/** Renders and encodes all images. They are kept where the encoder's far larger intermediates are kept too. */
async function encodeImages(
  { config, encoder, renderer, augmenter }: DistillParts,
  { parameters, step }: DistillState,
): Promise<Pass> {
  const m = parameters.count;
  const d = encoder.featureSize;
  const { batch, chunks } = encoder.plan;
  const views = viewCount(config);
  const keep = encoder.plan.activations === "save";
  const features = new Float32Array(views * m * d);
  const rendered: Float32Array[] = [];
  const seen: Float32Array[] = [];
  const imagesOf = async (chunk: number) =>
    rendered[chunk] ?? (await renderer.render(parameters, chunk * batch));
  const inputOf = async (images: Float32Array, view: number, chunk: number) => {
    const draw = drawOf(config, view);
    if (draw === undefined) return images;
    return seen[chunk * views + view] ?? (await augmenter!.apply(images, step, draw, chunk * batch));
  };
  for (let chunk = 0; chunk < chunks; chunk++) {
    const images = await imagesOf(chunk);
    if (keep) rendered[chunk] = images;
    for (let view = 0; view < views; view++) {
      const input = await inputOf(images, view, chunk);
      if (keep) seen[chunk * views + view] = input;
      const rows = await encoder.features(chunk * views + view, input);
      const count = Math.min(batch, m - chunk * batch);
      features.set(rows.subarray(0, count * d), (view * m + chunk * batch) * d);
    }
  }
  return { features, imagesOf, inputOf };
}

/** The next batch of real rows; none for an objective that looks at class means alone. */
function realRows({ config }: DistillParts, { sampler }: DistillState): Int32Array {
  return objectives[config.method].needs.batch ? sampler.next() : new Int32Array(0);
}

/** Steps of one choice of targets, and of the first, which starts far from where it ends. */
export const choiceSteps = 50;
const firstChoiceSteps = 150;

/**
 * Targets chosen from class means at first, from the images' features later.
 * @param steps evaluations of the objective that it takes
 */
export async function nextTargets(
  parts: DistillParts,
  { range, start, onProgress, signal }: TargetParts,
  state: DistillState,
  features: Float32Array,
  steps = state.targets ? choiceSteps : firstChoiceSteps,
): Promise<Float32Array> {
  let done = 0;
  const from = state.targets ? meanOfViews(features, start.length) : start;
  return chooseTargets(from, range, steps, async (values) => {
    if (signal?.aborted) {
      throw new InterruptedError(`Stopped after step ${state.step} of ${parts.config.steps}.`);
    }
    onProgress?.(done, steps);
    const outcome = await evaluateObjective(parts, state, values, realRows(parts, state), `target ${done++}`);
    return outcome.cotangents;
  });
}

/** The mean over an image's views, `length` numbers. */
function meanOfViews(features: Float32Array, length: number): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < features.length; i++) out[i % length]! += (features[i]! * length) / features.length;
  return out;
}

/** The learning rate of step `step` (from 0) of the run. */
export function learningRateAt(
  config: Pick<DistillConfig, "learningRate" | "schedule" | "steps">,
  step: number,
): number {
  const share = config.schedule === "cosine" ? (1 + Math.cos((Math.PI * step) / config.steps)) / 2 : 1;
  return config.learningRate * share;
}

/** The share of the learning rate that a level of the pyramid has, by its side. */
export const levelRate =
  ({ fineDecay }: Pick<DistillConfig, "fineDecay">) =>
  (side: number): number =>
    Math.min(1, 8 / side) ** fineDecay;

/** All images as they now are, [m, 3, size, size] in [0, 1], chunk by chunk. */
export async function* renderAll(
  renderer: Renderer,
  parameters: SyntheticParameters,
  batch: number,
): AsyncGenerator<{ start: number; count: number; images: Float32Array }> {
  const pixels = 3 * parameters.size * parameters.size;
  for (let start = 0; start < parameters.count; start += batch) {
    const count = Math.min(batch, parameters.count - start);
    yield { start, count, images: (await renderer.render(parameters, start)).subarray(0, count * pixels) };
  }
}
