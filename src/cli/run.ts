import { homedir } from "node:os";
import { cacheLocation } from "../files/cache-location.ts";
import { hubAccess } from "../files/hub/settings.ts";
import { callEngine, endEngine } from "../jobs/worker/client.ts";
import { requireEffect } from "./no-effect.ts";
import type { CommonOptions, EncoderOptions, HubOptions } from "./options.ts";
import { createProgress, onlyNews } from "./progress.ts";

/** The hub's part of a job's parameters. */
export function hubParams({ revision, dtype, hubCache }: HubOptions) {
  return { revision, dtype, hub: hubAccess(process.env, homedir(), hubCache) };
}

/**
 * The encoder's and the cache's part of a job's parameters.
 * @param encoders the encoders that are named; an option of which none of them has a use is refused
 */
export function encoderParams(options: EncoderOptions, encoders: readonly string[] = [options.encoder]) {
  requireEffect(encoders, options);
  const { encoder, feature, pool, size, resize, device, precision, threads, maxBad } = options;
  const cacheFolder = options.cacheDir ?? cacheLocation(process.env, homedir());
  const run = { device, precision, threads, maxBad, cacheFolder };
  return { encoder, feature, pool, size, resize, ...run, ...hubParams(options) };
}

/**
 * Runs a job with a progress display. The first interrupt (or termination) lets the job finish its step and
 * save; a second one ends the process at once.
 */
export async function runJob<Result>(job: string, params: unknown, options: CommonOptions): Promise<Result> {
  const progress = createProgress({ quiet: options.quiet ?? false });
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) {
      endEngine();
      process.exit(130);
    }
    progress.note("Stopping after this step; once more to quit at once.");
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await callEngine<Result>(job, params, {
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
