import { zipSync } from "fflate";
import { type EncoderFile, type Gemm, messageOf, type OpenedEncoder } from "../../src/browser/index.ts";
import { DistillRun, type RunParts, startingInfo } from "./distill-run.ts";
import { gpuFor, unlessLost } from "./gpu.ts";
import type { KeptSet } from "./kept-set.ts";
import { foundMirror } from "./mirror.ts";
import type { Project } from "./project.ts";
import type { DistillOptions, Events } from "./protocol.ts";
import type { RunImages } from "./run-images.ts";
import type { Storage } from "./storage.ts";

/** What distillations of a project are made with. */
export interface DistillationParts extends OpenedEncoder {
  readonly file: EncoderFile;
  /** Address of ONNX Runtime's files. */
  readonly ortFolder: string;
  readonly gemm: Gemm;
  readonly storage: Storage | undefined;
  readonly project: Project;
  /** Where results go. */
  readonly set: KeptSet;
  readonly send: (event: Events) => void;
  readonly breathe: () => Promise<void>;
}

/** The distillations of a project, one at a time: on the GPU where that is of use, and in WebAssembly where it fails. */
export class Distillations {
  readonly #parts: DistillationParts;
  #run: DistillRun | undefined;

  constructor(parts: DistillationParts) {
    this.#parts = parts;
  }

  /** @throws Error where it cannot begin */
  async start(options: DistillOptions): Promise<void> {
    const { encoder, gemm, project, send } = this.#parts;
    await this.#run?.release();
    const { thumbnails, ...images } = await project.split();
    send({
      event: "distillation",
      info: startingInfo(images.classes, options, encoder.preprocessing.crop[0]),
    });
    try {
      const found =
        options.mirror === undefined
          ? await foundMirror(encoder, gemm, images.train, thumbnails, images.classes.length)
          : undefined;
      const mirror = options.mirror ?? found?.mirror;
      this.#run = await this.#started(images, { ...options, mirror }, found ? [found.note] : []);
    } catch (error) {
      send({ event: "distillation", info: undefined });
      throw error;
    }
    void this.#drive(this.#run);
  }

  /** Takes up what a reload or a crash cut short. */
  async restore(): Promise<void> {
    this.#run = await DistillRun.restore(this.#own());
    if (this.#run !== undefined) void this.#drive(this.#run);
  }

  pause(): void {
    this.#run?.pause();
  }

  resume(): void {
    this.#run?.resume();
  }

  stop(): void {
    this.#run?.stop();
  }

  async release(): Promise<void> {
    await this.#run?.release();
  }

  /** The parts of a run in WebAssembly. */
  #own(): RunParts {
    const { runtime, encoder, storage, send, breathe } = this.#parts;
    return { runtime, encoder, storage, name: this.#name, send, breathe };
  }

  get #name(): string {
    return this.#parts.project.name || "images";
  }

  async #started(images: RunImages, options: DistillOptions, notes: readonly string[]): Promise<DistillRun> {
    const { file, ortFolder } = this.#parts;
    const { gpu, note } = await gpuFor(this.#parts, file, ortFolder, options.device);
    const known = note === undefined ? notes : [...notes, note];
    const start = (parts: RunParts, notes: readonly string[]) =>
      DistillRun.start(parts, images, { ...options, notes });
    if (gpu === undefined) return start(this.#own(), known);
    try {
      return await unlessLost(start({ ...this.#own(), ...gpu }, known), gpu.lost);
    } catch (error) {
      console.warn(error);
      return start(this.#own(), [...known, "The GPU failed; WebAssembly is used."]);
    }
  }

  /** Runs a distillation to its end, and keeps the set. */
  async #drive(run: DistillRun): Promise<void> {
    try {
      const files = await run.finish();
      if (files === undefined || run !== this.#run) return;
      await this.#parts.set.keep(this.#name, zipSync({ ...files }));
      await run.forget();
    } catch (error) {
      if (run === this.#run) await this.#recover(run, error);
    } finally {
      if (run === this.#run) this.#run = undefined;
      await run.release();
    }
  }

  /** Continues without the GPU where a run was on it; elsewhere says what went wrong. */
  async #recover(run: DistillRun, error: unknown): Promise<void> {
    const { send } = this.#parts;
    try {
      if (!run.isOnGpu) throw error;
      // What the runtime says of it fills a page, and helps developers alone.
      console.warn(error);
      const note = "The GPU failed; WebAssembly continues from the last checkpoint.";
      const rebuilt = await run.rebuilt(this.#own(), note);
      // Meanwhile another may have been started.
      if (run !== this.#run) return await rebuilt.release();
      this.#run = rebuilt;
      void this.#drive(rebuilt);
    } catch (failure) {
      send({ event: "failed", message: messageOf(failure) });
      send({ event: "distillation", info: undefined });
    }
  }
}
