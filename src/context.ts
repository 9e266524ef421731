/** How far a long piece of work has come. */
export interface Progress {
  /** What is being done: "Reading features of train", "Distilling", … */
  readonly stage: string;
  readonly done: number;
  readonly total: number;
  /** What is counted: "images", "steps", "bytes". */
  readonly unit: string;
  /** A short phrase, such as the current loss. */
  readonly detail?: string;
}

/** What every job is given beside its parameters. */
export interface JobContext {
  readonly signal: AbortSignal;
  progress(progress: Progress): void;
  /** Reports something that the user should know and that is not an error. */
  note(message: string): void;
}

/** The same where nobody may be listening: a download reports what it can. */
export type PartialContext = Partial<JobContext>;

/** How a caller of a job follows and stops it. */
export interface CallOptions {
  /** Stops the job: a distillation finishes its step, saves a checkpoint and rejects with InterruptedError. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly onNote?: (message: string) => void;
}
