/**
 * clp-dd: dataset distillation for frozen pre-trained vision encoders (CLP-DD, arXiv 2605.07194).
 *
 * The library under the names of the command line. Whatever runs a model does so in one worker thread of the
 * process, so that the caller's event loop stays free.
 */
import { homedir } from "node:os";
import { defaultMaxBad } from "./data/params.ts";
import type { Provenance } from "./encoder/model.ts";
import type { EncoderParams } from "./encoder/params.ts";
import { defaultEncoder } from "./encoder/registry.ts";
import type { Evaluation } from "./evaluate/evaluation.ts";
import { cacheLocation } from "./files/cache-location.ts";
import type { Preprocessing } from "./images/preprocess.ts";
import type { DistillSummary } from "./jobs/distill.ts";
import type { DistillParams, EvaluateParams } from "./jobs/params.ts";
import { type CallOptions, callEngine } from "./jobs/worker/client.ts";
import type { DistillConfig } from "./recipe/config.ts";

export type { Manifest } from "./artifact/manifest.ts";
export { type Artifact, readArtifact } from "./artifact/read.ts";
export type { Progress } from "./context.ts";
export type { EncoderParams } from "./encoder/params.ts";
export * from "./errors.ts";
export type { Evaluation } from "./evaluate/evaluation.ts";
export type { Preprocessing } from "./images/preprocess.ts";
export type { DistillSummary } from "./jobs/distill.ts";
export type { Inspection } from "./jobs/inspect.ts";
export type { DistillParams, EvaluateParams } from "./jobs/params.ts";
export type { CallOptions } from "./jobs/worker/client.ts";
export { type FeatureMap, type FeatureMapState, featureMap } from "./probe/feature-map.ts";
export { accuracyOf, argmaxRows, centeredOneHot } from "./probe/labels.ts";
export { type Matrix, matrix } from "./probe/matrix.ts";
export { type RidgeOptions, type RidgeSolution, solveRidge } from "./probe/ridge.ts";
export { DistillConfig } from "./recipe/config.ts";

/** A frozen encoder that runs in the worker thread. */
export interface LoadedEncoder {
  readonly provenance: Provenance;
  /** How images must be made ready: size, crop, interpolation; mean and deviation are applied inside. */
  readonly preprocessing: Preprocessing;
  /** The feature tensor, how it is pooled, and why it was chosen. */
  readonly feature: { readonly tensor: string; readonly pool: string; readonly reason: string };
  /** d. */
  readonly featureSize: number;
  /**
   * Features n × d, row-major, of planar RGB images n × 3 × H × W at the preprocessing's crop size: floats in
   * [0, 1] or bytes in [0, 255]. Throws NumericalError when a feature is not finite.
   */
  features(images: Float32Array | Uint8Array): Promise<Float32Array>;
  /**
   * The vector–Jacobian product: the gradient of Σ cotangent ∘ features(images) with respect to the images
   * (n × 3 × H × W, on the scale of [0, 1]); `cotangent` is n × d.
   */
  pullback(images: Float32Array, cotangent: Float32Array): Promise<Float32Array>;
  /** Frees the encoder's native memory. */
  release(): Promise<void>;
}

/**
 * Loads an encoder by a name ("efficientnet-lite0", "dinov2-base": those of `clp-dd encoders`), the id of a hub
 * repository ("owner/name", with `revision` and `dtype`), the path of a model's folder, or that of an .onnx file.
 * @throws ModelError when there is no such model, or it cannot be read or differentiated
 * @throws DownloadError when it would have to be fetched and cannot be
 */
export async function loadEncoder(
  nameOrPath: string,
  options: Omit<EncoderParams, "encoder"> = {},
): Promise<LoadedEncoder> {
  const { handle, ...described } = await callEngine<
    Pick<LoadedEncoder, "provenance" | "preprocessing" | "feature" | "featureSize"> & { handle: number }
  >("encoder.open", { ...options, encoder: nameOrPath });
  const [height, width] = described.preprocessing.crop;
  const countOf = (images: ArrayLike<number>): number => {
    const count = images.length / (3 * height * width);
    if (Number.isInteger(count) && count > 0) return count;
    throw new RangeError(`${images.length} numbers are no images of 3 × ${height} × ${width}`);
  };
  return {
    ...described,
    features: async (images) => callEngine("encoder.features", { handle, images, count: countOf(images) }),
    async pullback(images, cotangent) {
      const count = countOf(images);
      if (cotangent.length !== count * described.featureSize) {
        throw new RangeError(
          `the cotangent of ${count} images is ${count} × ${described.featureSize}, got ${cotangent.length} numbers`,
        );
      }
      return callEngine("encoder.pullback", { handle, images, cotangent, count });
    },
    release: () => callEngine("encoder.release", { handle }),
  };
}

/** What `distill` needs: a data set, where the result goes, and any hyper-parameter that is not to be the default. */
export interface DistillRequest
  extends Partial<Omit<DistillParams, "config" | "data" | "out">>,
    Partial<DistillConfig> {
  /** A folder of images, or an embedded set ("emoji", "emoji-subgroups"). */
  readonly data: string;
  readonly out: string;
}

const runKeys = [
  ...[
    "encoder",
    "revision",
    "dtype",
    "hub",
    "feature",
    "pool",
    "size",
    "resize",
    "device",
    "precision",
    "threads",
    "cacheFolder",
    "maxBad",
  ],
  ...["data", "out", "memoryBytes", "overwrite", "resume", "baselines", "command", "preset"],
];

/**
 * Distils a data set, as `clp-dd distill` does. Aborting `signal` finishes the step, saves a checkpoint and
 * rejects with InterruptedError; the same request with `resume: true` goes on from there.
 */
export function distill(request: DistillRequest, options: CallOptions = {}): Promise<DistillSummary> {
  const run: Record<string, unknown> = {};
  const config: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(request)) (runKeys.includes(key) ? run : config)[key] = value;
  return callEngine("distill", { ...defaults(), ...run, config }, options);
}

/** Measures sets of images on a data set's test images, as `clp-dd evaluate` does. */
export function evaluate(
  artifacts: readonly string[],
  request: { readonly data: string } & Partial<Omit<EvaluateParams, "artifacts" | "data">>,
  options: CallOptions = {},
): Promise<Evaluation[]> {
  const { encoder: _, ...fallback } = defaults();
  return callEngine("evaluate", { ...fallback, ...request, artifacts }, options);
}

function defaults() {
  return {
    encoder: defaultEncoder,
    cacheFolder: cacheLocation(process.env, homedir()),
    maxBad: defaultMaxBad,
  };
}
