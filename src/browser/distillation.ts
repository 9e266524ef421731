import type { CurvePoint, Manifest } from "../artifact/manifest.ts";
import type { SourceLicense } from "../data/image-source.ts";
import { createStep } from "../distill/create-step.ts";
import { imagesInProcess } from "../distill/images-in-process.ts";
import { distillStep, initialState, syntheticLabels } from "../distill/loop.ts";
import { describeMismatch, type RunIdentity, type ShardCut } from "../distill/run-state.ts";
import type { DistillParts, DistillState, StepReport } from "../distill/state.ts";
import { type Encoder, featureName } from "../encoder/encoder.ts";
import { chunkSize } from "../encoder/images-per-call.ts";
import { UsageError } from "../errors.ts";
import { manifestOf } from "../jobs/manifest-of.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { calibrate } from "../probe/calibration.ts";
import { type ClosedFormProbe, evaluateClosedForm, fitClosedForm } from "../probe/closed-form.ts";
import { matrix } from "../probe/matrix.ts";
import { featuresInMemory, type LabeledFeatures } from "../probe/rows.ts";
import { DistillConfig } from "../recipe/config.ts";
import { withPreset } from "../recipe/presets.ts";
import { noiseParameters } from "../synthetic/parameters.ts";
import { type ArtifactFiles, artifactFiles } from "./artifact.ts";
import { checkpointBytes, readCheckpoint } from "./checkpoint.ts";

/** Features of real images, n × d, with their class indices and what changes when the images do. */
export interface RealFeatures {
  readonly features: Float32Array;
  readonly labels: Int32Array;
  /** A hexadecimal sha256 of the images, their order and classes. */
  readonly fingerprint: string;
}

/** What is distilled, and how. */
export interface DistillationInputs {
  readonly runtime: Runtime;
  readonly encoder: Encoder;
  /** What differs from the preset `clp`. */
  readonly config: Partial<DistillConfig>;
  /** What the set of images is called. */
  readonly name: string;
  readonly classes: readonly string[];
  readonly train: RealFeatures;
  /** Images that are held out; without them nothing is measured. */
  readonly test?: RealFeatures | undefined;
  readonly notes?: readonly string[];
  /** Of the images, where they are known: the set names them. */
  readonly licenses?: readonly SourceLicense[];
  /** For intermediates of the encoder; default 256 MiB. */
  readonly memoryBytes?: number;
  readonly machine: Manifest["machine"];
}

const defaultMemory = 2 ** 28;

/** Images that go through the encoder in one call, at most. */
const imagesAtOnce = 8;

/**
 * A distillation in one process, step by step: whoever calls it decides when the next step is due, and may stop after any
 * with a valid set. It starts from noise: real images are not kept.
 */
export class Distillation {
  readonly config: DistillConfig;
  readonly curve: CurvePoint[];
  /** Spent in steps. */
  seconds: number;
  readonly #inputs: DistillationInputs;
  readonly #parts: DistillParts;
  readonly #state: DistillState;
  readonly #cut: ShardCut;
  readonly #identity: RunIdentity;
  readonly #test: LabeledFeatures | undefined;
  readonly #release: () => Promise<void>;

  private constructor(
    inputs: DistillationInputs,
    identity: RunIdentity,
    parts: DistillParts,
    state: DistillState,
    cut: ShardCut,
    before: { readonly curve: readonly CurvePoint[]; readonly seconds: number },
    release: () => Promise<void>,
  ) {
    this.config = identity.config;
    this.curve = [...before.curve];
    this.seconds = before.seconds;
    this.#inputs = inputs;
    this.#identity = identity;
    this.#parts = parts;
    this.#state = state;
    this.#cut = cut;
    this.#release = release;
    this.#test = inputs.test && featuresInMemory(inputs.test.features, inputs.test.labels);
  }

  /**
   * Compiles what steps need, and takes up a saved run where one is given.
   * @param saved bytes of `checkpoint()`
   * @throws UsageError where the saved run is of other images or settings
   */
  static async start(inputs: DistillationInputs, saved?: Uint8Array): Promise<Distillation> {
    const { runtime, encoder, classes, train, memoryBytes = defaultMemory } = inputs;
    const [height, width] = encoder.preprocessing.crop;
    if (height !== width) {
      throw new UsageError(
        `The encoder takes ${height} × ${width} px images; only square ones are distilled.`,
      );
    }
    encoder.requirePullback();
    const config = DistillConfig.parse(withPreset("clp", inputs.config));
    const identity: RunIdentity = {
      config,
      encoder: encoder.provenance.sha256,
      feature: featureName(encoder),
      preprocessing: encoder.preprocessing,
      data: train.fingerprint,
    };
    const checkpoint = saved && (await readCheckpoint(saved));
    const difference = checkpoint && describeMismatch(checkpoint.identity, identity);
    if (difference !== undefined) {
      throw new UsageError(`The saved distillation is of something else: ${difference}. Start it again.`);
    }
    const count = classes.length * config.ipc;
    const real = featuresInMemory(train.features, train.labels);
    const parameters =
      checkpoint?.parameters ?? noiseParameters(config.parametrization, count, height, config.seed);
    const state = checkpoint?.state ?? initialState(config, classes.length, train.labels.length, parameters);
    const { images, plan } = await imagesInProcess(runtime, [encoder], config, memoryBytes, {
      parameters,
      reload: async () => parameters,
      cut: checkpoint?.cut ?? { batch: chunkSize(count, imagesAtOnce) },
    });
    const { batch, activations } = plan;
    const { parts, release } = await createStep({
      runtime,
      config,
      classes: classes.length,
      real: [real],
      images,
    });
    const before = { curve: checkpoint?.curve ?? [], seconds: checkpoint?.seconds ?? 0 };
    return new Distillation(inputs, identity, parts, state, { batch, activations }, before, release);
  }

  /** Steps done. */
  get step(): number {
    return this.#state.step;
  }

  /** Class of each image. */
  get labels(): Int32Array {
    return syntheticLabels(this.#inputs.classes.length, this.config.ipc);
  }

  /** One step, the update of the images included. @throws NumericalError when the loss is not finite */
  async next(): Promise<StepReport> {
    const began = performance.now();
    const report = await distillStep(this.#parts, this.#state);
    await this.#parts.images.settled();
    this.seconds += (performance.now() - began) / 1000;
    const { step, loss, batchAccuracy } = report;
    this.curve.push({ step, loss, ...(batchAccuracy === undefined ? {} : { batchAccuracy }) });
    return report;
  }

  /** The images as they are, [m, 3, size, size] in [0, 1]. */
  async images(): Promise<Float32Array> {
    const [side] = this.#inputs.encoder.preprocessing.crop;
    const out = new Float32Array(this.#parts.images.count * 3 * side * side);
    for await (const { start, images } of this.#parts.images.rendered())
      out.set(images, start * 3 * side * side);
    return out;
  }

  /** The closed-form probe of the images as they are. */
  async probe(): Promise<ClosedFormProbe> {
    const { images, encoders, gemm, classes } = this.#parts;
    const [{ maps }] = encoders;
    const labels = matrix(images.count, classes, Float64Array.from(this.#state.labels.values));
    return fitClosedForm(await images.plainFeatures(), labels, maps[0]!, this.config.lambda, gemm);
  }

  /** Accuracy of that probe on the held-out images, a fraction; undefined without them. */
  async heldOut(): Promise<number | undefined> {
    if (this.#test === undefined) return undefined;
    return (await evaluateClosedForm(await this.probe(), this.#test, this.#parts.gemm)).top1;
  }

  /** The run as it stands, to be taken up by `start`. */
  async checkpoint(): Promise<Uint8Array<ArrayBuffer>> {
    return checkpointBytes({
      identity: this.#identity,
      state: this.#state,
      parameters: await this.#parts.images.parameters(),
      cut: this.#cut,
      curve: this.curve,
      seconds: this.seconds,
    });
  }

  /** The set as it stands, measured on the held-out images, as the files of an artifact. */
  async artifact(): Promise<{ readonly files: ArtifactFiles; readonly top1: number | undefined }> {
    const { name, classes, train, test, encoder, notes = [], licenses = [], machine } = this.#inputs;
    const { images, encoders, gemm } = this.#parts;
    const [{ real }] = encoders;
    const probe = await this.probe();
    const calibration = await calibrate(probe, real, new Int32Array(0), gemm);
    const { temperature } = calibration;
    const own = this.#test && (await evaluateClosedForm(probe, this.#test, gemm, { temperature }));
    const { config, step, seconds } = this;
    const cutShort = step < config.steps ? [`Stopped after step ${step} of ${config.steps}.`] : [];
    const manifest = manifestOf(
      {
        source: { name, classes, notes: [...notes, ...cutShort], licenses },
        encoder,
        train: real,
        test: this.#test,
      },
      {
        kind: "distilled",
        config,
        preset: "clp",
        lambda: config.lambda,
        tau: Math.exp(this.#state.logTau.values[0]!),
        calibration,
        stages: [{ name: "distillation", seconds, peakMemoryBytes: 0 }],
        own,
        seconds,
        fingerprints: { train: train.fingerprint, ...(test ? { test: test.fingerprint } : {}) },
        machine,
      },
    );
    const files = await artifactFiles({
      manifest,
      images: () => images.rendered(),
      labels: this.labels,
      softLabels: this.#state.labels.values,
      levels: (await images.parameters()).levels,
      probe: { ...probe, novelty: calibration.novelty },
      curve: this.curve,
    });
    return { files, top1: own?.top1 };
  }

  async release(): Promise<void> {
    await this.#release();
  }
}
