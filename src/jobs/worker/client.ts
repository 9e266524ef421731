import { Worker } from "node:worker_threads";
// The main thread turns the telemetry off for the worker, which cannot.
import "../../onnx-vjp/runtime/telemetry-off.ts";
import type { Progress } from "../../context.ts";
import { workerUrl } from "../../files/worker-url.ts";
import { deserializeError } from "../../serialized-error.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";

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
 * Room for new JavaScript objects, which V8 would let grow to 48 MiB while graphs are read and derived. The numbers lie
 * in arrays elsewhere; steps take the same time with a sixth of it (docs/performance.md).
 */
export const youngGenerationMebibytes = 6;

let worker: Worker | undefined;
let count = 0;
const pending = new Map<number, Pending>();

/**
 * Runs a job in the engine's worker thread. There is one worker a process, started when first needed: native
 * sessions in several threads have been seen to crash. It does not keep the process alive when idle.
 */
export function callEngine<Result>(job: string, params: unknown, options: CallOptions = {}): Promise<Result> {
  const engine = started();
  const id = count++;
  return new Promise<Result>((resolve, reject) => {
    const abort = () => engine.postMessage({ kind: "abort", id } satisfies ToEngine);
    const settle = () => {
      pending.delete(id);
      options.signal?.removeEventListener("abort", abort);
      if (pending.size === 0) engine.unref();
    };
    pending.set(id, {
      options,
      resolve(value) {
        settle();
        resolve(value as Result);
      },
      reject(error) {
        settle();
        reject(error);
      },
    });
    engine.ref();
    engine.postMessage({ kind: "run", id, job, params } satisfies ToEngine);
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
  created.on("message", (message: FromEngine) => {
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
