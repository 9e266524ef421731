import { availableParallelism, cpus } from "node:os";
import type { Manifest } from "../artifact/manifest.ts";
import type { RunContext } from "../features/run-context.ts";
import { env } from "../onnx-vjp/runtime/binding.ts";
import { type DescribedRun, manifestOf, type RunFacts } from "./manifest-of.ts";

/** Fingerprints of a data set's splits, as a run's facts have them. */
export async function fingerprintsOf({ source, test }: Pick<RunContext, "source" | "test">) {
  return {
    train: await source.fingerprint("train"),
    ...(test ? { test: await source.fingerprint("test") } : {}),
  };
}

/** The manifest of a run on this machine. */
export function describeRun(
  place: DescribedRun,
  { threads, ...facts }: Omit<RunFacts, "machine"> & { readonly threads?: number | undefined },
): Omit<Manifest, "folders" | "files"> {
  return manifestOf(place, {
    ...facts,
    machine: {
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      node: process.version,
      ...(env.versions.node ? { onnxruntime: env.versions.node } : {}),
      threads: threads ?? availableParallelism(),
    },
  });
}
