import { givenForm } from "../encoder/model-form.ts";
import { userCache } from "../files/cache-location.ts";
import { userHub } from "../files/hub/settings.ts";
import type { JobName, JobParams, JobResult } from "../jobs/job-table.ts";
import { endWorker, run } from "../jobs/worker/client.ts";
import { inFlags } from "./flags.ts";
import { requireEffect } from "./no-effect.ts";
import type { CommonOptions, EncoderOptions, HubOptions } from "./options.ts";
import { createProgress, onlyNews } from "./progress.ts";

/** What asks for an end; a terminal that is closed sends the last. */
const stopping = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The hub's part of a job's parameters. */
export function hubParams({ revision, dtype, hubCache }: HubOptions) {
  return { revision, dtype, hub: userHub(hubCache) };
}

/**
 * The encoder's and the cache's part of a job's parameters.
 * @param encoders the encoders that are named; an option of which none of them has a use is refused
 */
export function encoderParams(options: EncoderOptions, encoders: readonly string[] = [options.encoder]) {
  requireEffect(encoders, options);
  const { encoder, feature, pool, size, resize, device, precision, threads, memory, maxBad } = options;
  const cacheFolder = options.cacheDir ?? userCache();
  const run = { device, precision, threads, memoryBytes: memory, maxBad, cacheFolder };
  return { encoder, feature, pool, size, resize, ...givenForm(options), ...run, ...hubParams(options) };
}

/**
 * Runs a job with a progress display. The first interrupt (or termination, or hang-up) lets the job finish its step and
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
    progress.note("Stopping once the model returns from this step; once more to quit at once.");
    controller.abort();
  };
  for (const signal of stopping) process.on(signal, stop);
  try {
    return await run(job, params, {
      signal: controller.signal,
      onProgress: (p) => progress.update(p),
      onNote: onlyNews((text) => progress.note(inFlags(text))),
    });
  } finally {
    progress.stop();
    for (const signal of stopping) process.off(signal, stop);
  }
}
