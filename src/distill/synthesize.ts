import { freemem } from "node:os";
import type { JobContext } from "../context.ts";
import { pickImages } from "../data/pick.ts";
import { InterruptedError, UsageError } from "../errors.ts";
import type { RunContext } from "../features/run-context.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { centroidImages, randomImages } from "../select/coresets.ts";
import { noiseParameters, parametersFromImages, type SyntheticParameters } from "../synthetic/parameters.ts";
import { createStep } from "./create-step.ts";
import { distillStep, initialState } from "./loop.ts";
import { openImages, type PreparedShards } from "./open-images.ts";
import type { Checkpoint, ShardCut } from "./run-state.ts";
import type { DistillParts, DistillState, StepReport } from "./state.ts";
import type { Reload, StepImages } from "./synthetic-images.ts";

/** A distillation under way: everything compiled, the state at some step. */
export interface Synthesis {
  readonly parts: DistillParts;
  readonly state: DistillState;
  /** How the images are cut into shards. */
  readonly cut: ShardCut;
  release(): Promise<void>;
}

/** A run that is taken up again: where it stood, and what reads its parameters from the checkpoint. */
export interface SavedRun extends Pick<Checkpoint, "state" | "parameters" | "cut"> {
  readonly reload: Reload;
}

/** How a run starts, where it is not from the configuration's `init` and one encoder. */
export interface SynthesisStart {
  readonly saved?: SavedRun | undefined;
  /** Further encoders with the same real images (`openOthers`); they see the images resized to their own size. */
  readonly others?: readonly RunContext[];
  /** Makes the parameters that the run starts from. */
  readonly first?: (() => Promise<SyntheticParameters>) | undefined;
  /** Of a run that starts, as far as it is not to be chosen here. */
  readonly cut?: Partial<ShardCut> | undefined;
  /** What was made ready for these images while the real features were read. */
  readonly prepared?: Promise<PreparedShards> | undefined;
}

/**
 * Compiles all that a distillation needs and sets up its first state, or takes up `saved`.
 * @param place of the first encoder, whose size the images have
 * @param memoryBytes for intermediates
 */
export async function startSynthesis(
  place: RunContext,
  config: DistillConfig,
  memoryBytes: number,
  context: JobContext,
  { saved, others = [], first, cut, prepared }: SynthesisStart = {},
): Promise<Synthesis> {
  const { runtime, encoder, source, train } = place;
  const classes = source.classes.length;
  const m = classes * config.ipc;
  const [height, width] = encoder.preprocessing.crop;
  if (height !== width) {
    throw new UsageError(
      `The encoder takes ${height} × ${width} px images; only square ones are distilled so far.`,
    );
  }
  const encoders = [encoder, ...others.map((other) => other.encoder)];
  // The real features are there: what computed them makes room for what the steps need.
  for (const one of encoders) await one.release();
  const parameters = saved?.parameters ?? (await (first?.() ?? firstParameters(place, config, m, height)));
  const state = saved?.state ?? initialState(config, classes, train.count, parameters);
  const start = {
    parameters,
    reload: saved?.reload ?? (async () => parameters),
    cut: saved?.cut ?? cut,
  };
  const { images, plan, processes } = await openImages(
    ...([runtime, encoders, config, memoryBytes, start, prepared] as const),
  );
  const { batch, chunks, activations, activationBytes } = plan;
  context.note(
    `${m} synthetic images of ${height} px in ${chunks} shard${chunks === 1 ? "" : "s"} of ${batch}, computed by ` +
      `${processes} process${processes === 1 ? "" : "es"}; intermediates are ` +
      `${activations === "save" ? "kept" : "recomputed"} (${mebibytes(activationBytes)} of ${mebibytes(freemem())} free).`,
  );
  const wanted = runtime.device === "cpu" ? Math.min(runtime.threads, chunks) : 1;
  if (processes < wanted) {
    context.note(
      `${processes} instead of ${wanted} processes: more do not fit into ${mebibytes(memoryBytes)} (\`memoryBytes\`).`,
    );
  }
  try {
    const { parts, release } = await createStep({
      runtime: nodeRuntime({ threads: 1 }),
      config,
      classes,
      real: [train, ...others.map((other) => other.train)],
      images,
      choice: {
        signal: context.signal,
        onProgress: (done, of) =>
          context.progress({
            stage: "Distilling",
            done: state.step,
            total: config.steps,
            unit: "steps",
            detail: `choosing target features, ${Math.round((100 * done) / of)} %`,
          }),
      },
    });
    return { parts, state, cut: { batch, activations }, release };
  } catch (error) {
    await images.release();
    throw error;
  }
}

/** Parameters of all images at step 0. */
export async function firstParameters(
  { source, train, encoder }: RunContext,
  config: DistillConfig,
  m: number,
  size: number,
): Promise<SyntheticParameters> {
  if (config.init === "noise") {
    return noiseParameters(config.parametrization, m, size, config.seed);
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
  synthesis: { readonly parts: DistillParts<StepImages>; readonly state: DistillState },
  context: JobContext,
  afterStep: (report: StepReport) => Promise<void>,
): Promise<void> {
  const { parts, state } = synthesis;
  const { steps } = parts.config;
  // The first step of thousands of images takes a while: progress is shown before it.
  context.progress({ stage: "Distilling", done: state.step, total: steps, unit: "steps" });
  while (state.step < steps) {
    const report = await distillStep(parts, state);
    const accuracy =
      report.batchAccuracy === undefined ? "" : `batch ${(100 * report.batchAccuracy).toFixed(1)} %, `;
    context.progress({
      stage: "Distilling",
      done: state.step,
      total: steps,
      unit: "steps",
      // What is cut where a terminal is narrow is at the end.
      detail: `${accuracy}loss ${report.loss.toFixed(3)}`,
    });
    await afterStep(report);
    if (context.signal.aborted && state.step < steps) {
      throw new InterruptedError(`Stopped after step ${state.step} of ${steps}.`);
    }
  }
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
