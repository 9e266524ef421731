import type { JobContext } from "../context.ts";
import { hubReach, openDataSet } from "../data/open.ts";
import { createChunkedEncoder } from "../encoder/chunks.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { openEncoder } from "../encoder/open.ts";
import type { EncoderParams } from "../encoder/params.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { runBaseline } from "./baseline.ts";
import { runComparison } from "./compare.ts";
import { runDistillation } from "./distill.ts";
import { fetchEncoders } from "./encoders.ts";
import { runEvaluation } from "./evaluate.ts";
import { runFeatures } from "./features.ts";
import { inspectModel } from "./inspect.ts";
import type {
  BaselineParams,
  CompareParams,
  DistillParams,
  EvaluateParams,
  FeaturesParams,
  FetchParams,
  InspectParams,
  ProfileParams,
  VjpParams,
} from "./params.ts";
import { profileStep } from "./profile.ts";
import { writeVjpFiles } from "./vjp.ts";

type Job = (params: never, context: JobContext) => Promise<unknown>;

/** Encoders that callers hold a handle of. */
const held = new Map<number, { runtime: Runtime; encoder: Encoder }>();
let handles = 0;

/** Everything that runs in the engine's worker thread, by name. */
export const jobs: Readonly<Record<string, (params: unknown, context: JobContext) => Promise<unknown>>> =
  typed({
    distill: (params: DistillParams, context) => runDistillation(params, context),
    baseline: (params: BaselineParams, context) => runBaseline(params, context),
    compare: (params: CompareParams, context) => runComparison(params, context),
    evaluate: (params: EvaluateParams, context) => runEvaluation(params, context),
    "evaluate.described": async (params: EvaluateParams, context) => ({
      results: await runEvaluation(params, context),
      classes: (await openDataSet(params.data, hubReach(params.hub, context))).classes,
    }),
    features: (params: FeaturesParams, context) => runFeatures(params, context),
    inspect: (params: InspectParams, context) => inspectModel(params, context),
    fetch: (params: FetchParams, context) => fetchEncoders(params, context),
    profile: (params: ProfileParams, context) => profileStep(params, context),
    vjp: (params: VjpParams) => writeVjpFiles(params),
    "encoder.open": async (params: EncoderParams, context) => {
      const opened = await openEncoder(params, context);
      const handle = handles++;
      held.set(handle, opened);
      const { provenance, preprocessing, feature, featureSize } = opened.encoder;
      return { handle, provenance, preprocessing, feature, featureSize };
    },
    "encoder.features": ({
      handle,
      images,
      count,
    }: {
      handle: number;
      images: Float32Array;
      count: number;
    }) => encoderOf(handle).encoder.features(images, count),
    "encoder.pullback": (params: PullbackParams) => pullback(params),
    "encoder.release": async ({ handle }: { handle: number }) => {
      await held.get(handle)?.encoder.release();
      held.delete(handle);
    },
  });

function typed(table: Readonly<Record<string, Job>>) {
  return table as Readonly<Record<string, (params: unknown, context: JobContext) => Promise<unknown>>>;
}

function encoderOf(handle: number) {
  const known = held.get(handle);
  if (known === undefined) throw new Error("this encoder was released");
  return known;
}

/** Bytes of intermediates of one pullback call. */
const pullbackMemory = 2 ** 30;

interface PullbackParams {
  readonly handle: number;
  /** n × 3 × H × W in [0, 1]. */
  readonly images: Float32Array;
  /** n × d. */
  readonly cotangent: Float32Array;
  readonly count: number;
}

async function pullback({ handle, images, cotangent, count }: PullbackParams): Promise<Float32Array> {
  const { runtime, encoder } = encoderOf(handle);
  const chunked = await createChunkedEncoder(runtime, encoder, count, 1, pullbackMemory, {
    activations: "recompute",
  });
  try {
    const { batch, chunks } = chunked.plan;
    const pixels = images.length / count;
    const d = encoder.featureSize;
    const out = new Float32Array(images.length);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const input = new Float32Array(batch * pixels);
      const back = new Float32Array(batch * d);
      input.set(images.subarray(chunk * batch * pixels, (chunk + 1) * batch * pixels));
      back.set(cotangent.subarray(chunk * batch * d, (chunk + 1) * batch * d));
      const gradient = await chunked.pullback(chunk, input, back);
      const n = Math.min(batch, count - chunk * batch);
      out.set(gradient.subarray(0, n * pixels), chunk * batch * pixels);
    }
    return out;
  } finally {
    await chunked.release();
  }
}
