import {
  type ArtifactFiles,
  Distillation,
  type DistillationInputs,
  type Encoder,
  type Runtime,
} from "../../src/browser/index.ts";
import { unlessLost } from "./gpu.ts";
import type { DistillInfo, DistillOptions, DistillPhase, Events } from "./protocol.ts";
import { imagesBytes, imagesOf, type RunImages } from "./run-images.ts";
import { rgbaOf } from "./set-info.ts";
import type { Storage } from "./storage.ts";

/** What a run is made with. */
export interface RunParts {
  readonly runtime: Runtime;
  readonly encoder: Encoder;
  readonly storage: Storage | undefined;
  readonly name: string;
  readonly send: (event: Events) => void;
  readonly breathe: () => Promise<void>;
  /** On a GPU: resolves when it is lost. */
  readonly lost?: Promise<string>;
}

/** What is kept of a run beside its checkpoint. */
interface Kept {
  readonly config: DistillationInputs["config"];
  readonly notes: readonly string[];
  readonly paused: boolean;
}

const checkpointFile = "checkpoint";
const runFile = "run.json";
/** The features that the run is of: images may come and go while it goes on. */
const imagesFile = "run-images";

const checkpointMs = 4000;
const previewMs = 400;
/** Least time between two measurements on the held-out images, as a multiple of what one takes. */
const heldOutShare = 20;

/** Steps of a pyramid's level at most, and the share of the steps in which all of them are there. */
const levelSteps = 8;
const levelsShare = 16;

const fewestSteps = 40;
const mostSteps = 1500;

/** Everything else of a run is the preset's. */
const configOf = ({ ipc, mirror }: DistillOptions, steps: number) => ({
  ipc,
  ...(mirror === undefined ? {} : { mirror }),
  steps,
  levelEvery: Math.max(1, Math.min(levelSteps, Math.floor(steps / levelsShare))),
});

/** A distillation that can be paused, is kept, and shows how it goes. */
export class DistillRun {
  /** Names of what a run keeps. */
  static readonly files = [checkpointFile, runFile, imagesFile];
  readonly #parts: RunParts;
  readonly #images: RunImages;
  readonly #notes: readonly string[];
  readonly #distillation: Distillation;
  readonly #heldOut: { step: number; accuracy: number }[] = [];
  #phase: DistillPhase;
  /** What the run is rebuilt from where a GPU is lost. */
  #saved: Uint8Array<ArrayBuffer> | undefined;
  #stopped = false;
  #released = false;
  /** Called when a paused run is to resume, or to stop. */
  #wake: () => void = () => undefined;

  private constructor(
    parts: RunParts,
    images: RunImages,
    distillation: Distillation,
    phase: DistillPhase,
    notes: readonly string[],
  ) {
    this.#parts = parts;
    this.#images = images;
    this.#notes = notes;
    this.#distillation = distillation;
    this.#phase = phase;
  }

  /** Starts a run. Where no number of steps is given, it is chosen by the time that two of them take. */
  static async start(
    parts: RunParts,
    images: RunImages,
    options: DistillOptions & { readonly notes: readonly string[] },
  ): Promise<DistillRun> {
    const steps = options.steps ?? (await stepsWithin(parts, images, options));
    const config = configOf(options, steps);
    const distillation = await Distillation.start(inputsOf(parts, images, config, options.notes));
    const run = new DistillRun(parts, images, distillation, "running", options.notes);
    await parts.storage?.write(imagesFile, imagesBytes(images));
    await run.#keep();
    return run;
  }

  /** The run that a reload or a crash cut short; undefined where there is none. */
  static async restore(parts: RunParts): Promise<DistillRun | undefined> {
    const [text, checkpoint, kept] = await Promise.all(
      [runFile, checkpointFile, imagesFile].map((name) => parts.storage?.read(name)),
    );
    if (text === undefined || checkpoint === undefined || kept === undefined) return undefined;
    const images = imagesOf(kept);
    const { config, paused, notes } = JSON.parse(new TextDecoder().decode(text)) as Kept;
    try {
      const distillation = await Distillation.start(inputsOf(parts, images, config, notes), checkpoint);
      return new DistillRun(parts, images, distillation, paused ? "paused" : "running", notes);
    } catch (error) {
      for (const name of DistillRun.files) await parts.storage?.remove(name);
      throw error;
    }
  }

  get isOnGpu(): boolean {
    return this.#parts.lost !== undefined;
  }

  /** The run from its last checkpoint, on another runtime. @param note why */
  async rebuilt(parts: RunParts, note: string): Promise<DistillRun> {
    const notes = [...this.#notes, note];
    const inputs = inputsOf(parts, this.#images, this.#distillation.config, notes);
    const distillation = await Distillation.start(inputs, this.#saved);
    const phase = this.#phase === "paused" ? "paused" : "running";
    const run = new DistillRun(parts, this.#images, distillation, phase, notes);
    run.#stopped = this.#stopped;
    return run;
  }

  pause(): void {
    if (this.#phase === "running") this.#phase = "paused";
  }

  resume(): void {
    if (this.#phase === "paused") this.#phase = "running";
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** Runs to the end, or until it is stopped. @returns the files of the set; undefined where the run was released before */
  finish(): Promise<ArtifactFiles | undefined> {
    return unlessLost(this.#toTheEnd(), this.#parts.lost);
  }

  async #toTheEnd(): Promise<ArtifactFiles | undefined> {
    const distillation = this.#distillation;
    const { steps } = distillation.config;
    let saved = performance.now();
    let shown = 0;
    let measured = 0;
    let measuring = 0;
    await this.#preview();
    this.#report();
    while (!this.#released && !this.#stopped && distillation.step < steps) {
      if (this.#phase === "paused") {
        await this.#keep();
        this.#report();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        await this.#keep();
        continue;
      }
      await distillation.next();
      const now = performance.now();
      if (now - shown > previewMs) {
        await this.#preview();
        shown = performance.now();
      }
      if (now - measured > heldOutShare * measuring && this.#images.test !== undefined) {
        const began = performance.now();
        this.#heldOut.push({ step: distillation.step, accuracy: (await distillation.heldOut())! });
        measured = performance.now();
        measuring = measured - began;
      }
      if (now - saved > checkpointMs) {
        await this.#keep();
        saved = performance.now();
      }
      this.#report();
      await this.#parts.breathe();
    }
    if (this.#released) return undefined;
    this.#phase = "finishing";
    this.#report();
    await this.#preview();
    const { files } = await distillation.artifact();
    this.#phase = "done";
    this.#report();
    return files;
  }

  /** Removes what was kept, once the set itself is. */
  async forget(): Promise<void> {
    for (const name of DistillRun.files) await this.#parts.storage?.remove(name);
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    this.#wake();
    const released = unlessLost(this.#distillation.release(), this.#parts.lost);
    // What is on a GPU that was lost is gone.
    await (this.isOnGpu ? released.catch(() => undefined) : released);
  }

  async #keep(): Promise<void> {
    const { storage } = this.#parts;
    this.#saved = await this.#distillation.checkpoint();
    if (storage === undefined) return;
    const { config } = this.#distillation;
    const kept: Kept = { config, notes: this.#notes, paused: this.#phase === "paused" };
    await storage.write(checkpointFile, this.#saved);
    await storage.write(runFile, new TextEncoder().encode(JSON.stringify(kept)));
  }

  async #preview(): Promise<void> {
    const images = await this.#distillation.images();
    const [side] = this.#parts.encoder.preprocessing.crop;
    const pixels = 3 * side * side;
    this.#parts.send({
      event: "preview",
      images: Array.from({ length: images.length / pixels }, (_, i) =>
        rgbaOf(images.subarray(i * pixels, (i + 1) * pixels)),
      ),
    });
  }

  #report(): void {
    const { step, config, curve, seconds } = this.#distillation;
    const info: DistillInfo = {
      phase: this.#phase,
      step,
      steps: config.steps,
      classes: this.#images.classes,
      ipc: config.ipc,
      loss: curve.map(({ loss }) => loss),
      heldOut: [...this.#heldOut],
      heldOutImages: this.#images.test?.labels.length ?? 0,
      secondsPerStep: step === 0 ? 0 : seconds / step,
      size: this.#parts.encoder.preprocessing.crop[0],
      notes: this.#notes,
    };
    this.#parts.send({ event: "distillation", info });
  }
}

/** What is shown of a run before it has begun. */
export const startingInfo = (
  classes: DistillInfo["classes"],
  { ipc }: DistillOptions,
  size: number,
): DistillInfo => ({ ...emptyInfo, classes, ipc, size });

const emptyInfo = {
  phase: "starting",
  step: 0,
  steps: 0,
  loss: [],
  heldOut: [],
  heldOutImages: 0,
  secondsPerStep: 0,
  notes: [],
} as const;

const inputsOf = (
  { runtime, encoder, name }: RunParts,
  { classes, train, test, licenses }: RunImages,
  config: DistillationInputs["config"],
  notes: readonly string[] = [],
): DistillationInputs => ({
  runtime,
  encoder,
  config,
  name,
  classes: classes.map((c) => c.name),
  train,
  test,
  notes,
  licenses,
  machine: {
    cpu: "unknown",
    cores: navigator.hardwareConcurrency,
    browser: navigator.userAgent,
    threads: runtime.threads,
  },
});

/** Steps that fit into the time asked for. */
async function stepsWithin(parts: RunParts, images: RunImages, options: DistillOptions): Promise<number> {
  const trial = await Distillation.start(inputsOf(parts, images, configOf(options, fewestSteps)));
  try {
    // The first step is slower: memory is made in it.
    await trial.next();
    const before = trial.seconds;
    await trial.next();
    const steps = (60 * options.minutes) / (trial.seconds - before);
    return Math.min(mostSteps, Math.max(fewestSteps, Math.round(steps)));
  } finally {
    await trial.release();
  }
}
