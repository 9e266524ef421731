import { freemem } from "node:os";
import type { JobContext } from "../context.ts";
import { pickImages } from "../data/pick.ts";
import { type ChunkedEncoder, createChunkedEncoder } from "../encoder/chunks.ts";
import { InterruptedError, UsageError } from "../errors.ts";
import { fitFeatureMaps, type Workplace } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import { objectives } from "../objective/objectives.ts";
import { ortFeatureProduct } from "../probe/ort-feature-product.ts";
import { seededRandom } from "../random.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { centroidImages, classMeans, randomImages } from "../select/coresets.ts";
import { augmentationOf } from "../synthetic/augment.ts";
import { createAugmenter } from "../synthetic/augmenter.ts";
import { noiseParameters, parametersFromImages, type SyntheticParameters } from "../synthetic/parameters.ts";
import { createRenderer, type Renderer } from "../synthetic/renderer.ts";
import { distillStep, initialState, levelRate, renderAll } from "./loop.ts";
import { openRealBatches } from "./real-batches.ts";
import type { DistillParts, DistillState, StepReport } from "./state.ts";
import { targetBasis } from "./target-features.ts";
import { viewCount } from "./views.ts";

/** A distillation under way: everything compiled, the state at some step. */
export interface Synthesis {
  readonly parts: DistillParts;
  readonly state: DistillState;
  /** Features of the synthetic images as they now are, or as `edit` leaves them, m × d. */
  features(edit?: Edit): Promise<Float32Array>;
  /** The images as they now are, chunk by chunk. */
  images(): ReturnType<typeof renderAll>;
  release(): Promise<void>;
}

/**
 * Compiles all that a distillation needs and sets up its first state, or takes up `saved`.
 * @param memoryBytes for intermediates
 */
export async function startSynthesis(
  place: Workplace,
  config: DistillConfig,
  memoryBytes: number,
  context: JobContext,
  saved?: DistillState,
): Promise<Synthesis> {
  const { runtime, encoder, source, train, gemm } = place;
  const classes = source.classes.length;
  const m = classes * config.ipc;
  const [height, width] = encoder.preprocessing.crop;
  if (height !== width) {
    throw new UsageError(
      `The encoder takes ${height} × ${width} px images; only square ones are distilled so far.`,
    );
  }
  const views = viewCount(config);
  const maps = await fitFeatureMaps(config.normalize, train);
  // The real features are there: what computed them makes room for what the steps need.
  await encoder.release();
  const chunked = await createChunkedEncoder(runtime, encoder, m, views, memoryBytes);
  const { batch, chunks, activations, activationBytes } = chunked.plan;
  context.note(
    `${m} synthetic images of ${height} px in ${chunks} chunk${chunks === 1 ? "" : "s"} of ${batch}; intermediates are ` +
      `${activations === "save" ? "kept" : "recomputed"} (${mebibytes(activationBytes)} of ${mebibytes(freemem())} free).`,
  );
  const renderer = createRenderer(runtime, batch, levelRate(config));
  const augmenter =
    config.augment > 0
      ? await createAugmenter(runtime, augmentationOf(config), config.seed, batch, height, height)
      : undefined;
  const state =
    saved ?? initialState(config, classes, train.count, await firstParameters(place, config, m, height));
  const product = ortFeatureProduct(runtime);
  const batches = openRealBatches(train, maps, product);
  const needsMeans = objectives[config.method].needs.classMeans;
  const targets =
    config.targets > 0
      ? {
          ...(await targetBasis(train, classes, config.ipc)),
          signal: context.signal,
          onProgress: (done: number, of: number) =>
            context.progress({
              ...{ stage: "Distilling", done: state.step, total: config.steps, unit: "steps" },
              detail: `choosing target features, ${Math.round((100 * done) / of)} %`,
            }),
        }
      : undefined;
  const parts: DistillParts = {
    ...{ config, classes, real: train, batches, maps, encoder: chunked, renderer, augmenter, gemm, targets },
    ...(needsMeans
      ? { classMeans: await Promise.all(maps.map((map) => classMeans(train, classes, map))) }
      : {}),
  };
  return {
    parts,
    state,
    features: (edit) => syntheticFeatures(chunked, renderer, state.parameters, views, edit),
    images: () => renderAll(renderer, state.parameters, batch),
    async release() {
      for (const part of [chunked, renderer, augmenter, product]) await part?.release();
    },
  };
}

async function firstParameters(
  { source, train, encoder }: Workplace,
  config: DistillConfig,
  m: number,
  size: number,
): Promise<SyntheticParameters> {
  if (config.init === "noise") {
    return noiseParameters(config.parametrization, m, size, seededRandom(config.seed, "level 0"));
  }
  const classes = source.classes.length;
  const picked =
    config.init === "centroid"
      ? await centroidImages(train, classes, config.ipc)
      : randomImages(train.labels, classes, config.ipc, config.seed);
  const inSplit = train.imageIndices ? Int32Array.from(picked, (row) => train.imageIndices![row]!) : picked;
  const images = await pickImages(source, "train", inSplit, encoder.preprocessing);
  return parametersFromImages(config.parametrization, images, m, size);
}

/** Runs steps until the configuration's number is done. `afterStep` may save a checkpoint. */
export async function runSteps(
  synthesis: Synthesis,
  context: JobContext,
  afterStep: (report: StepReport) => Promise<void>,
): Promise<void> {
  const { parts, state } = synthesis;
  const { steps } = parts.config;
  while (state.step < steps) {
    const report = await distillStep(parts, state);
    const accuracy =
      report.batchAccuracy === undefined ? "" : `, batch ${(100 * report.batchAccuracy).toFixed(1)} %`;
    context.progress({
      stage: "Distilling",
      done: state.step,
      total: steps,
      unit: "steps",
      detail: `loss ${report.loss.toFixed(3)}${accuracy}`,
    });
    await afterStep(report);
    if (context.signal.aborted && state.step < steps) {
      throw new InterruptedError(`Stopped after step ${state.step} of ${steps}.`);
    }
  }
}

async function syntheticFeatures(
  chunked: ChunkedEncoder,
  renderer: Renderer,
  parameters: SyntheticParameters,
  views: number,
  edit: Edit | undefined,
): Promise<Float32Array> {
  const d = chunked.featureSize;
  const out = new Float32Array(parameters.count * d);
  for await (const { start, count, images } of renderAll(renderer, parameters, chunked.plan.batch)) {
    const whole = new Float32Array(chunked.plan.batch * (images.length / count));
    whole.set(edit === undefined ? images : await edit.apply(images, parameters.size, start));
    const rows = await chunked.features((start / chunked.plan.batch) * views, whole);
    out.set(rows.subarray(0, count * d), start * d);
  }
  return out;
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
