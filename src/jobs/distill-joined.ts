import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseManifest } from "../artifact/manifest.ts";
import type { JobContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { sha256OfText } from "../files/hash.ts";
import { FolderLocked } from "../files/lock.ts";
import { parseRunAddress } from "../machines/address.ts";
import { defaultLeaseSeconds, defaultPatienceSeconds } from "../machines/defaults.ts";
import type { JoinedRun, JoinRequest } from "../machines/join.ts";
import type { MeasuredStage } from "../memory.ts";
import type { DistillParams, JoinParams } from "./params.ts";
import type { DistillSummary } from "./summary.ts";

/**
 * Distills together with others until the last step is done.
 * @returns the run whose result is to be written here; undefined where another worker has written it
 */
export async function joinDistillation(
  run: Pick<JoinRequest, "places" | "first" | "identity" | "memoryBytes" | "checkpoints" | "out">,
  params: DistillParams,
  { address, leaseSeconds = defaultLeaseSeconds, patienceSeconds = defaultPatienceSeconds }: JoinParams,
  context: JobContext,
): Promise<JoinedRun | undefined> {
  if (!(leaseSeconds > 0 && patienceSeconds >= 2 * leaseSeconds)) {
    throw new UsageError(
      `\`patienceSeconds: ${patienceSeconds}\` must be at least twice \`leaseSeconds: ${leaseSeconds}\`, which must be more than 0.`,
    );
  }
  const { joinRun } = await import("../machines/join.ts");
  const { overwrite = false, resume = false, shardImages } = params;
  return joinRun(
    {
      ...run,
      address: parseRunAddress(address, process.env),
      ...{ overwrite, resume, shardImages, leaseSeconds, patienceSeconds },
    },
    context,
  );
}

/** Waits while another worker computes what all of them need. */
export async function inTurn<T>(
  join: JoinParams | undefined,
  context: JobContext,
  work: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (join === undefined || !(error instanceof FolderLocked) || context.signal.aborted) throw error;
      // It keeps its lock alive; should it end, the lock is taken over.
      context.note(`${error.message.split(". ")[0]}; waiting for it.`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** What this worker reports of a result that another one has written. */
export async function summaryOf(out: string, stages: readonly MeasuredStage[]): Promise<DistillSummary> {
  const file = join(out, "manifest.json");
  const manifest = await parseManifest(await readFile(file, "utf8"), file, sha256OfText);
  const peakMemoryBytes = Math.max(...stages.map((stage) => stage.peakMemoryBytes));
  return {
    out,
    manifest: { ...manifest, stages: [...stages] },
    seconds: manifest.seconds ?? 0,
    peakMemoryBytes,
  };
}
