import type { SerializedError } from "../../serialized-error.ts";

/** How far a long piece of work has come. */
export interface Progress {
  /** What is being done: "Reading features of train", "Distilling", … */
  readonly stage: string;
  readonly done: number;
  readonly total: number;
  /** What is counted: "images", "steps", "bytes". */
  readonly unit: string;
  /** The current loss or the like, one short phrase. */
  readonly detail?: string;
}

/** What every job is given beside its parameters. */
export interface JobContext {
  readonly signal: AbortSignal;
  progress(progress: Progress): void;
  /** Tells the user something worth knowing that is no error. */
  note(message: string): void;
}

export type ToEngine =
  | { readonly kind: "run"; readonly id: number; readonly job: string; readonly params: unknown }
  | { readonly kind: "abort"; readonly id: number };

export type FromEngine =
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly kind: "note"; readonly id: number; readonly message: string }
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: SerializedError };
