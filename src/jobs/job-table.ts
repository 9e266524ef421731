import type { JobContext } from "../context.ts";

type Job = (params: never, context: JobContext) => Promise<unknown>;

/**
 * Everything that runs in the worker, by name, loaded when it is asked for: all jobs together take a second. Callers see
 * the types alone: jobs load ONNX Runtime.
 */
export const jobs = {
  distill: async () => (await import("./distill.ts")).runDistillation,
  baseline: async () => (await import("./baseline.ts")).runBaseline,
  compare: async () => (await import("./compare.ts")).runComparison,
  evaluate: async () => (await import("./evaluate.ts")).runEvaluation,
  "evaluate.described": async () => (await import("./evaluate.ts")).describedEvaluation,
  features: async () => (await import("./features.ts")).runFeatures,
  inspect: async () => (await import("./inspect.ts")).inspectModel,
  check: async () => (await import("./check.ts")).checkDataSet,
  "check.described": async () => (await import("./check.ts")).describedCheck,
  classify: async () => (await import("./classify.ts")).classifyImages,
  explain: async () => (await import("./explain.ts")).explainImages,
  "explain.pictures": async () => (await import("./explain.ts")).writeExplanations,
  export: async () => (await import("./export.ts")).exportClassifier,
  fetch: async () => (await import("./encoders.ts")).fetchEncoders,
  align: async () => (await import("./align-encoders.ts")).alignEncoders,
  profile: async () => (await import("./profile.ts")).profileStep,
  push: async () => (await import("./push.ts")).pushFolder,
  vjp: async () => (await import("./vjp.ts")).writeVjpFiles,
  "encoder.open": async () => (await import("./open-encoders.ts")).openHandle,
  "encoder.encode": async () => (await import("./open-encoders.ts")).featuresOfImages,
  "encoder.features": async () => (await import("./open-encoders.ts")).featuresOfPixels,
  "encoder.pullback": async () => (await import("./open-encoders.ts")).pullbackToPixels,
  "encoder.release": async () => (await import("./open-encoders.ts")).releaseHandle,
} as const satisfies Readonly<Record<string, () => Promise<Job>>>;

/** The contract between callers and the worker: what each job takes and returns. */
export type JobName = keyof typeof jobs;
type JobOf<J extends JobName> = Awaited<ReturnType<(typeof jobs)[J]>>;
export type JobParams<J extends JobName> = Parameters<JobOf<J>>[0];
export type JobResult<J extends JobName> = Awaited<ReturnType<JobOf<J>>>;
