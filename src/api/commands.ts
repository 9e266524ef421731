import { totalmem } from "node:os";
import type { Artifact } from "../artifact/read-artifact.ts";
import type { CallOptions } from "../context.ts";
import { defaultMaxBad } from "../data/data-params.ts";
import { type DataSet, dataSets } from "../data/sets/catalogue.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import type { DataCheck } from "../evaluate/data-check.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { userCache } from "../files/cache-location.ts";
import type { Published } from "../files/hub/publish.ts";
import { type HubAccess, userHub } from "../files/hub/settings.ts";
import type { EncoderAlignment } from "../jobs/align-encoders.ts";
import type { Comparison } from "../jobs/compare.ts";
import type { Grid } from "../jobs/compare-config.ts";
import { type FetchedEncoder, type ListedEncoder, listEncoders } from "../jobs/encoders.ts";
import type { ExportSummary } from "../jobs/export.ts";
import type { FeaturesResult } from "../jobs/features.ts";
import type { Inspection } from "../jobs/inspection.ts";
import type {
  AlignParams,
  BaselineParams,
  CheckParams,
  CompareParams,
  DistillParams,
  EvaluateParams,
  ExportParams,
  FeaturesParams,
  FetchParams,
  InspectParams,
  ProfileParams,
  PushParams,
} from "../jobs/params.ts";
import type { StepProfile } from "../jobs/step-profile.ts";
import type { DistillSummary } from "../jobs/summary.ts";
import { run } from "../jobs/worker/client.ts";
import type { RunReport } from "../machines/list.ts";
import type { DistillConfig } from "../recipe/config.ts";

/** The parameters of a job, with those optional that have a default. */
type WithDefaults<Params, Keys extends keyof Params = never> = Omit<Params, DefaultKeys | Keys> &
  Partial<Pick<Params, Extract<keyof Params, DefaultKeys> | Keys>>;
type DefaultKeys = "encoder" | "cacheFolder" | "maxBad";

/** What a run on data falls back to: the same as the command line. */
const machineDefaults = () => ({ cacheFolder: userCache(), maxBad: defaultMaxBad, hub: userHub() });
const dataDefaults = () => ({ encoder: defaultEncoder, ...machineDefaults() });

/** What `distill` takes: a data set, where the result goes, and any hyper-parameter that differs from its default. */
export type DistillRequest = WithDefaults<Omit<DistillParams, "config">> & Partial<DistillConfig>;

/** What `baseline` takes: how real images are chosen, of which data set, and where they go. */
export type BaselineRequest = WithDefaults<Omit<BaselineParams, "config">> &
  Partial<Pick<DistillConfig, "ipc" | "seed" | "lambda" | "normalize">>;

export type EvaluateRequest = WithDefaults<Omit<EvaluateParams, "artifacts">>;
export type CompareRequest = WithDefaults<Omit<CompareParams, "config">>;
export type CheckRequest = WithDefaults<CheckParams>;
export type AlignRequest = WithDefaults<Omit<AlignParams, "encoders">>;
export type ExportRequest = Omit<ExportParams, "set">;
export type ExtractRequest = WithDefaults<FeaturesParams>;
export type InspectRequest = Omit<InspectParams, "encoder">;
export type PushRequest = Partial<Omit<PushParams, "folder" | "repository">>;
export type ProfileRequest = WithDefaults<ProfileParams, "images" | "steps" | "memoryBytes">;

/**
 * Distils a data set, as `clp-dd distill` does; `clp-dd demo` distils "emoji" at `size` and `resize` 128. Aborting
 * `signal` finishes the step, saves a checkpoint and rejects with InterruptedError; the same request with
 * `resume: true` resumes from there.
 * @throws UsageError naming a setting that does not exist, cannot have its value or has no effect
 */
export function distill(request: DistillRequest, options?: CallOptions): Promise<DistillSummary> {
  return run("distill", { ...dataDefaults(), ...withConfig(request, distillKeys) }, options);
}

/** Chooses real images to compare distilled ones with, as `clp-dd baseline` does. */
export function baseline(request: BaselineRequest, options?: CallOptions): Promise<DistillSummary> {
  return run("baseline", { ...dataDefaults(), ...withConfig(request, baselineKeys) }, options);
}

/** Measures sets of images on a data set's test images, as `clp-dd evaluate` does. */
export function evaluate(
  artifacts: readonly string[],
  request: EvaluateRequest,
  options?: CallOptions,
): Promise<Evaluation[]> {
  return run("evaluate", { ...machineDefaults(), ...request, artifacts }, options);
}

/**
 * Runs a grid of methods, encoders, data sets and seeds, as `clp-dd compare` does; finished cells are kept in
 * `out/cells`, and the same call resumes.
 */
export function compare(grid: Grid, request: CompareRequest, options?: CallOptions): Promise<Comparison> {
  return run("compare", { ...machineDefaults(), ...request, config: grid }, options);
}

/** Finds wrong labels, near-duplicates, leaks and outliers in a data set, as `clp-dd check` does. */
export function check(request: CheckRequest, options?: CallOptions): Promise<DataCheck> {
  return run("check", { ...dataDefaults(), ...request }, options);
}

/**
 * The run of several machines that `address` names (redis://HOST:PORT/RUN), or all runs of its server, as `clp-dd runs`
 * shows them.
 * @param patienceSeconds for which the server may be silent
 */
export async function runs(address: string, patienceSeconds = 10): Promise<RunReport[]> {
  return (await import("../machines/list.ts")).reportRuns(address, patienceSeconds);
}

/**
 * Publishes the set in `folder` as a data set of the Hugging Face hub, or with `model` an exported classifier as a model,
 * as `clp-dd push` does: one commit, private unless `public`. @param repository owner/name
 */
export function push(
  folder: string,
  repository: string,
  request: PushRequest = {},
  options?: CallOptions,
): Promise<Published> {
  return run("push", { hub: userHub(), ...request, folder, repository }, options);
}

/** How alike two or more encoders see the training images of a data set, as `clp-dd encoders align` says. */
export function alignEncoders(
  encoders: readonly string[],
  request: AlignRequest,
  options?: CallOptions,
): Promise<EncoderAlignment> {
  return run("align", { ...machineDefaults(), ...request, encoders }, options);
}

/**
 * Writes preprocessing, encoder and probe of a set as one ONNX classifier in the layout of the Hugging Face hub, as
 * `clp-dd export` does.
 * @param set a folder that `distill` or `baseline` wrote, or one that was read
 * @throws DataError for a set without a probe, or an `out` that is not empty; ModelError when the encoder is not there or
 *   is another one than the set's
 */
export function exportClassifier(
  set: Artifact | string,
  request: ExportRequest,
  options?: CallOptions,
): Promise<ExportSummary> {
  return run(
    "export",
    { hub: userHub(), ...request, set: typeof set === "string" ? set : set.folder },
    options,
  );
}

/** Computes and caches the features of a data set, as `clp-dd features` does. */
export function extract(request: ExtractRequest, options?: CallOptions): Promise<FeaturesResult[]> {
  return run("features", { ...dataDefaults(), ...request }, options);
}

/** Shows what a model offers as an encoder, as `clp-dd inspect` does. */
export function inspect(
  encoder: string,
  request: InspectRequest = {},
  options?: CallOptions,
): Promise<Inspection> {
  return run("inspect", { hub: userHub(), ...request, encoder }, options);
}

/** Measures where the time of a distillation step goes, as `clp-dd profile` does. */
export function profile(request: ProfileRequest = {}, options?: CallOptions): Promise<StepProfile> {
  const defaults = { encoder: defaultEncoder, hub: userHub(), images: 8, steps: 5 };
  return run("profile", { ...defaults, memoryBytes: totalmem() / 4, ...request }, options);
}

/** The encoders that have a name, and whether their files are present, as `clp-dd encoders` lists them. */
export function encoders(request: { readonly hub?: HubAccess } = {}): Promise<ListedEncoder[]> {
  return listEncoders(request.hub ?? userHub());
}

/** Downloads encoders into the hub's cache, as `clp-dd encoders fetch` does. */
export function fetchEncoders(
  names: readonly string[],
  request: Omit<FetchParams, "encoders"> = {},
  options?: CallOptions,
): Promise<FetchedEncoder[]> {
  return run("fetch", { hub: userHub(), ...request, encoders: names }, options);
}

/** A data set that is read as published: what it is, and how its files must be stored. */
export type DataSetDescription = Pick<
  DataSet,
  "name" | "title" | "images" | "classes" | "page" | "terms" | "layout"
>;

/** The known data sets, as `clp-dd datasets` lists them. */
export function datasets(): DataSetDescription[] {
  return dataSets.map(({ name, title, images, classes, page, terms, layout }) => {
    return { name, title, images, classes, page, terms, layout };
  });
}

/** Names of all parameters of a job but its configuration; the types see to it that none is forgotten. */
type KeysOf<Params> = Readonly<Record<keyof Omit<Params, "config">, true>>;

const commonKeys = {
  encoder: true,
  revision: true,
  dtype: true,
  hub: true,
  feature: true,
  pool: true,
  inputLayout: true,
  featureLayout: true,
  gray: true,
  size: true,
  resize: true,
  device: true,
  precision: true,
  threads: true,
  memoryBytes: true,
  data: true,
  cacheFolder: true,
  maxBad: true,
  out: true,
  overwrite: true,
  baselines: true,
  edits: true,
  command: true,
} as const;
const distillKeys: KeysOf<DistillParams> = {
  ...commonKeys,
  from: true,
  preset: true,
  resume: true,
  shardImages: true,
  join: true,
  others: true,
};
const baselineKeys: KeysOf<BaselineParams> = { ...commonKeys, kind: true, of: true };

/** A flat request as a job takes it: what is not a parameter of the run is a setting, and checked as one. */
function withConfig<Request extends object>(
  request: Request,
  keys: Readonly<Record<string, true>>,
): Omit<Request, keyof DistillConfig> & { config: Partial<DistillConfig> } {
  const entries = Object.entries(request).filter(([, value]) => value !== undefined);
  const params = Object.fromEntries(entries.filter(([key]) => Object.hasOwn(keys, key)));
  const config = Object.fromEntries(entries.filter(([key]) => !Object.hasOwn(keys, key)));
  return { ...params, config } as Omit<Request, keyof DistillConfig> & { config: Partial<DistillConfig> };
}
