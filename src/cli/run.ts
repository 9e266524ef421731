import type { Pool } from "../encoder/model.ts";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { ClpError } from "../errors.ts";
import { userCache } from "../files/cache-location.ts";
import { userHub } from "../files/hub/settings.ts";
import type { JobName, JobParams, JobResult } from "../jobs/table.ts";
import { endWorker, run } from "../jobs/worker/client.ts";
import type { Precision } from "../onnx-vjp/graph/runtime.ts";
import { requireEffect } from "./no-effect.ts";
import { createProgress, onlyNews } from "./progress.ts";

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

/** Options that say which files of the hub are meant, and where they are kept. */
export interface HubOptions {
  readonly revision?: string;
  readonly dtype?: "fp32" | "fp16";
  readonly hubCache?: string;
}

/** The hub's part of a job's parameters. */
export function hubParams({ revision, dtype, hubCache }: HubOptions) {
  return { revision, dtype, hub: userHub(hubCache) };
}

/** How an encoder is run: what `runOptions` declares. */
export interface RunOptions extends CommonOptions, HubOptions, ModelForm {
  readonly feature?: string;
  readonly pool?: Pool;
  readonly size?: number;
  readonly resize?: number;
  readonly device: "cpu" | "webgpu" | "cuda";
  readonly precision?: Precision;
  readonly threads?: number;
  readonly memory?: number;
}

/** Options of commands that run an encoder on a data set. */
export interface EncoderOptions extends RunOptions {
  readonly encoder: string;
  readonly cacheDir?: string;
  readonly maxBad: number;
}

/**
 * The encoder's and the cache's part of a job's parameters.
 * @param encoders the encoders that are named; an option of which none of them has a use is refused
 */
export function encoderParams(options: EncoderOptions, encoders: readonly string[] = [options.encoder]) {
  requireEffect(encoders, options);
  const { encoder, feature, pool, size, resize, device, precision, threads, maxBad } = options;
  const cacheFolder = options.cacheDir ?? userCache();
  const run = { device, precision, threads, maxBad, cacheFolder };
  return { encoder, feature, pool, size, resize, ...givenForm(options), ...run, ...hubParams(options) };
}

/**
 * Runs a job with a progress display. The first interrupt (or termination) lets the job finish its step and
 * save; a second one ends the process at once.
 */
export async function runJob<J extends JobName>(
  job: J,
  params: JobParams<J>,
  options: CommonOptions,
): Promise<JobResult<J>> {
  const progress = createProgress({ quiet: options.quiet ?? false });
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) {
      endWorker();
      process.exit(130);
    }
    progress.note("Stopping after this step; once more to quit at once.");
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await run(job, params, {
      signal: controller.signal,
      onProgress: (p) => progress.update(p),
      onNote: onlyNews((text) => progress.note(text)),
    });
  } finally {
    progress.stop();
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

/** Prints the line of JSON that `--json` promises. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Says what went wrong, without a stack trace unless asked for, and returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  if (error instanceof ClpError) {
    process.stderr.write(`${debug ? error.stack : `clp-dd: ${error.message}`}\n`);
    return error.exitCode;
  }
  const shown = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  process.stderr.write(
    `clp-dd: ${shown}\n${debug ? "" : "This looks like a defect of clp-dd: run again with --debug and report it.\n"}`,
  );
  return 1;
}
