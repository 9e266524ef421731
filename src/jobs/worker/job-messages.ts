import type { Progress } from "../../context.ts";
import type { SerializedError } from "../../serialized-error.ts";
import type { JobName } from "../job-table.ts";

export type ToWorker =
  /** Loads a job that will be asked for. */
  | { readonly kind: "load"; readonly job: JobName }
  | { readonly kind: "run"; readonly id: number; readonly job: JobName; readonly params: unknown }
  | { readonly kind: "abort"; readonly id: number };

export type FromWorker =
  /** The helper processes that are alive, whenever one comes or goes. */
  | { readonly kind: "helpers"; readonly pids: readonly number[] }
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly kind: "note"; readonly id: number; readonly message: string }
  | { readonly kind: "result"; readonly id: number; readonly result: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: SerializedError };
