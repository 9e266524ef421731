/**
 * clp-dd: dataset distillation for frozen pre-trained vision encoders (CLP-DD, arXiv 2605.07194).
 *
 * Every command of the command line is a function here. Whatever runs a model does so in one worker of the process, so
 * that the caller's event loop stays free.
 */

export { type ClassifyOptions, classify } from "./api/classify.ts";
export {
  type BaselineRequest,
  baseline,
  type CheckRequest,
  type CompareRequest,
  check,
  compare,
  type DataSetDescription,
  type DistillRequest,
  datasets,
  distill,
  type EvaluateRequest,
  type ExtractRequest,
  encoders,
  evaluate,
  extract,
  fetchEncoders,
  type InspectRequest,
  inspect,
  type ProfileRequest,
  profile,
} from "./api/commands.ts";
export {
  type LoadEncoderOptions,
  type LoadedEncoder,
  loadEncoder,
} from "./api/load-encoder.ts";
export type { Manifest } from "./artifact/manifest.ts";
export { type Artifact, readArtifact } from "./artifact/read-artifact.ts";
export type { SetEncoderOptions } from "./artifact/set-encoder-options.ts";
export type { CallOptions, Progress } from "./context.ts";
export * from "./errors.ts";
export type { Evaluation } from "./evaluate/evaluation.ts";
export type { HubAccess } from "./files/hub/settings.ts";
export type { ImageLike } from "./images/input.ts";
export type { PixelImage } from "./images/pixels.ts";
export type { Preprocessing } from "./images/preprocess.ts";
export type { CheckedImage, DataCheck } from "./jobs/check.ts";
export type { Classification, ClassifiedImage, UnreadableImage } from "./jobs/classify.ts";
export type { Comparison } from "./jobs/compare.ts";
export type { Grid } from "./jobs/compare-config.ts";
export type { FetchedEncoder, ListedEncoder } from "./jobs/encoders.ts";
export type { FeaturesResult } from "./jobs/features.ts";
export type { Inspection } from "./jobs/inspection.ts";
export type { StepProfile } from "./jobs/step-profile.ts";
export type { DistillSummary } from "./jobs/summary.ts";
export type { Calibration } from "./probe/calibration.ts";
export { type FeatureMap, type FeatureMapState, featureMap } from "./probe/feature-map.ts";
export { accuracyOf, argmaxRows, centeredOneHot } from "./probe/labels.ts";
export { type Matrix, matrix } from "./probe/matrix.ts";
export type { Probe } from "./probe/probe.ts";
export { type RidgeOptions, type RidgeSolution, solveRidge } from "./probe/ridge.ts";
export { DistillConfig } from "./recipe/config.ts";
