import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";
import type { CallOptions } from "../../context.ts";
import { ProcessError } from "../../errors.ts";
import { workerUrl } from "../../files/worker-url.ts";
import { youngGenerationFlag } from "../../helpers/process.ts";
// Set here, the telemetry is off in every process that is started from this one.
import "../../onnx-vjp/runtime/telemetry-off.ts";
import { deserializeError } from "../../serialized-error.ts";
import type { JobName, JobParams, JobResult } from "../job-table.ts";
import type { FromWorker, ToWorker } from "./job-messages.ts";

interface Pending {
  readonly options: CallOptions;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** The process in which jobs run, and its helpers. */
interface Worker {
  readonly child: ChildProcess;
  helpers: readonly number[];
}

let worker: Worker | undefined;
let count = 0;
/** Encoders that callers hold in the worker. */
let held = 0;
const pending = new Map<number, Pending>();

/**
 * Runs a job of the table in the worker: a process that starts when it is needed and is shared by all jobs that run
 * meanwhile. It ends when nothing is left to do and no encoder is held, so that memory is given back, and with this
 * process.
 * @throws ProcessError when that process ends before the job is done; what the job throws
 */
export function run<J extends JobName>(
  job: J,
  params: JobParams<J>,
  options: CallOptions = {},
): Promise<JobResult<J>> {
  const { child } = started();
  const send = (message: ToWorker) => child.send(message, () => {});
  const id = count++;
  return new Promise<JobResult<J>>((resolve, reject) => {
    const abort = () => send({ kind: "abort", id });
    const settle = () => {
      pending.delete(id);
      options.signal?.removeEventListener("abort", abort);
      if (pending.size > 0) return;
      if (held === 0) dismiss();
      else idle(child);
    };
    pending.set(id, {
      options,
      resolve(value) {
        if (job === "encoder.open") held++;
        if (job === "encoder.release") held = Math.max(0, held - 1);
        settle();
        resolve(value as JobResult<J>);
      },
      reject(error) {
        settle();
        reject(error);
      },
    });
    child.ref();
    child.channel?.ref();
    send({ kind: "run", id, job, params });
    if (options.signal?.aborted) abort();
    else options.signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Starts the worker and has it load a job that will be asked for, while the caller loads what it needs itself. */
export function prepare(job: JobName): void {
  const message: ToWorker = { kind: "load", job };
  started().child.send(message, () => {});
}

/** Ends the worker and its helpers at once, whatever they are at: their memory is the system's again. */
export function endWorker(): void {
  if (worker === undefined) return;
  const { child, helpers } = worker;
  worker = undefined;
  child.kill("SIGKILL");
  endAll(helpers);
}

/** Lets the worker end by itself. */
function dismiss(): void {
  const idler = worker?.child;
  worker = undefined;
  if (idler?.connected) idler.disconnect();
}

function endAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
  }
}

function started(): Worker {
  if (worker !== undefined) return worker;
  const child = fork(workerUrl(import.meta.url, "./worker.ts"), [], {
    execArgv: [youngGenerationFlag],
    serialization: "advanced",
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const own: Worker = { child, helpers: [] };
  child.on("message", (message) => receive(own, message as FromWorker));
  const lose = (reason: string) => {
    endAll(own.helpers);
    // One that was dismissed has nothing left to do.
    if (worker !== own) return;
    worker = undefined;
    held = 0;
    for (const job of [...pending.values()]) job.reject(new ProcessError(reason));
  };
  child.on("error", (error) => lose(`The process that runs models cannot be started: ${error.message}.`));
  child.on("exit", (code, signal) => lose(lossOf(code, signal)));
  idle(child);
  worker = own;
  return own;
}

function receive(own: Worker, message: FromWorker): void {
  if (message.kind === "helpers") {
    own.helpers = message.pids;
    return;
  }
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
}

function lossOf(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === null) return `The process that runs models ended early, with code ${code}.${fewFiles()}`;
  const why =
    signal === "SIGKILL" ? " The system does that where memory runs out: give a smaller `memoryBytes`." : "";
  return `The process that runs models was ended by ${signal}.${why}`;
}

/** Open files that a job with its helpers needs, roughly. */
const usualFiles = 256;

/** What ends a process as it starts, before it can say so. */
function fewFiles(): string {
  let limit: number;
  try {
    limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  } catch {
    return "";
  }
  return limit < usualFiles
    ? ` At most ${limit} files may be open here, which is too few: raise that limit with \`ulimit -n 1024\`.`
    : "";
}

/** Lets this process end while the worker has nothing to do. */
function idle(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
}
