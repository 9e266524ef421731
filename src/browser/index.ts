/**
 * clp-dd in a browser: encoders, probes, distillation and artifacts, on ONNX Runtime for WebAssembly. What is here reaches no
 * module of Node's; `onnxruntime-web` is installed beside it. docs/browser.md shows it in use.
 */
export { encoderDifference } from "../artifact/encoder-difference.ts";
export { type Encoder, featureName } from "../encoder/encoder.ts";
export { type KnownEncoder, knownEncoders } from "../encoder/registry.ts";
export { ClpError, DataError, ModelError, messageOf, NumericalError, UsageError } from "../errors.ts";
export type { SuspectedLabel } from "../evaluate/check-labels.ts";
export { type MirrorTest, mirrorNote, mirrorTest } from "../evaluate/mirror-test.ts";
export type { PixelImage } from "../images/pixels.ts";
export type { Preprocessing } from "../images/preprocess.ts";
export type { Runtime } from "../onnx-vjp/graph/runtime.ts";
export {
  type WebgpuRuntime,
  type WebRuntimeOptions,
  webgpuRuntime,
  webRuntime,
} from "../onnx-vjp/runtime/web.ts";
export { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
export { chooseGemm, type Gemm, jsGemm } from "../probe/gemm.ts";
export { matrix } from "../probe/matrix.ts";
export { noveltyOf, residualsOf } from "../probe/novelty.ts";
export { ortGemm } from "../probe/ort-gemm.ts";
export { bestOfRows } from "../probe/probabilities.ts";
export { type Probe, probeOf } from "../probe/probe.ts";
export { featuresInMemory } from "../probe/rows.ts";
export { splitOf } from "../probe/split.ts";
export { version } from "../version.ts";
export { type Answer, answer } from "./answer.ts";
export {
  type ArtifactFiles,
  type ArtifactInMemory,
  interleavedBytes,
  readArtifactFiles,
} from "./artifact.ts";
export { classifierFiles } from "./classifier.ts";
export { Distillation, type DistillationInputs, type RealFeatures } from "./distillation.ts";
export { type EncoderFile, openEncoderFile, pixelInput } from "./encoder.ts";
export { fetchHubEncoder, type HubOptions } from "./hub.ts";
export { pngOf } from "./png.ts";
export { sha256 } from "./sha256.ts";
export { type OpenedEncoder, type RuntimeTrial, tryRuntime } from "./trial.ts";
