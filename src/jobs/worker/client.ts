import { Worker } from "node:worker_threads";
// The main thread turns the telemetry off for the worker, which cannot.
import "../../onnx-vjp/runtime/telemetry-off.ts";
import type { Progress } from "../../context.ts";
import { workerUrl } from "../../files/worker-url.ts";
import type { JobName, JobParams, JobResult } from "../table.ts";
import { deserializeError, type FromWorker, type ToWorker } from "./protocol.ts";

export interface CallOptions {
  /** Stops the job: a distillation finishes its step, saves a checkpoint and rejects with InterruptedError. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly onNote?: (message: string) => void;
}

interface Pending {
  readonly options: CallOptions;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * Room for new JavaScript objects, which V8 would let grow to 48 MiB while graphs are read and derived. Numbers are
 * stored in arrays elsewhere; steps take the same time with a sixth of it (docs/performance.md).
 */
export const youngGenerationMebibytes = 6;

let worker: Worker | undefined;
let count = 0;
const pending = new Map<number, Pending>();

/**
 * Runs a job of the table in the worker thread. There is one worker per process, started when first needed: native
 * sessions in several threads have been seen to crash. It does not keep the process alive when idle.
 */
export function run<J extends JobName>(
  job: J,
  params: JobParams<J>,
  options: CallOptions = {},
): Promise<JobResult<J>> {
  const running = started();
  const id = count++;
  return new Promise<JobResult<J>>((resolve, reject) => {
    const abort = () => running.postMessage({ kind: "abort", id } satisfies ToWorker);
    const settle = () => {
      pending.delete(id);
      options.signal?.removeEventListener("abort", abort);
      if (pending.size === 0) running.unref();
    };
    pending.set(id, {
      options,
      resolve(value) {
        settle();
        resolve(value as JobResult<J>);
      },
      reject(error) {
        settle();
        reject(error);
      },
    });
    running.ref();
    running.postMessage({ kind: "run", id, job, params } satisfies ToWorker);
    if (options.signal?.aborted) abort();
    else options.signal?.addEventListener("abort", abort, { once: true });
  });
}

function started(): Worker {
  if (worker !== undefined) return worker;
  const resourceLimits = { maxYoungGenerationSizeMb: youngGenerationMebibytes };
  // The worker does not inherit Node's options: it would not start with `--input-type`, which `node -e` programs have.
  const options = { resourceLimits, execArgv: [] };
  const created = new Worker(workerUrl(import.meta.url, "./worker.ts"), options);
  created.on("message", (message: FromWorker) => {
    const job = pending.get(message.id);
    if (job === undefined) return;
    switch (message.kind) {
      case "progress":
        job.options.onProgress?.(message.progress);
        break;
      case "note":
        job.options.onNote?.(message.message);
        break;
      case "result":
        job.resolve(message.result);
        break;
      case "error":
        job.reject(deserializeError(message.error));
        break;
    }
  });
  created.on("error", (error) => {
    worker = undefined;
    for (const job of [...pending.values()]) job.reject(error as Error);
  });
  worker = created;
  return created;
}
