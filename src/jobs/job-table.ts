import type { JobContext } from "../context.ts";
import { alignEncoders } from "./align-encoders.ts";
import { runBaseline } from "./baseline.ts";
import { checkDataSet, describedCheck } from "./check.ts";
import { classifyImages } from "./classify.ts";
import { runComparison } from "./compare.ts";
import { runDistillation } from "./distill.ts";
import { fetchEncoders } from "./encoders.ts";
import { describedEvaluation, runEvaluation } from "./evaluate.ts";
import { explainImages, writeExplanations } from "./explain.ts";
import { exportClassifier } from "./export.ts";
import { runFeatures } from "./features.ts";
import { inspectModel } from "./inspect.ts";
import {
  featuresOfImages,
  featuresOfPixels,
  openHandle,
  pullbackToPixels,
  releaseHandle,
} from "./open-encoders.ts";
import { profileStep } from "./profile.ts";
import { pushFolder } from "./push.ts";
import { writeVjpFiles } from "./vjp.ts";

type Job = (params: never, context: JobContext) => Promise<unknown>;

/** Everything that runs in the worker, by name. Callers see its types alone: it loads ONNX Runtime. */
export const jobs = {
  distill: runDistillation,
  baseline: runBaseline,
  compare: runComparison,
  evaluate: runEvaluation,
  "evaluate.described": describedEvaluation,
  features: runFeatures,
  inspect: inspectModel,
  check: checkDataSet,
  "check.described": describedCheck,
  classify: classifyImages,
  explain: explainImages,
  "explain.pictures": writeExplanations,
  export: exportClassifier,
  fetch: fetchEncoders,
  align: alignEncoders,
  profile: profileStep,
  push: pushFolder,
  vjp: writeVjpFiles,
  "encoder.open": openHandle,
  "encoder.encode": featuresOfImages,
  "encoder.features": featuresOfPixels,
  "encoder.pullback": pullbackToPixels,
  "encoder.release": releaseHandle,
} as const satisfies Readonly<Record<string, Job>>;

/** The contract between callers and the worker: what each job takes and returns. */
export type Jobs = typeof jobs;
export type JobName = keyof Jobs;
export type JobParams<J extends JobName> = Parameters<Jobs[J]>[0];
export type JobResult<J extends JobName> = Awaited<ReturnType<Jobs[J]>>;
