import { totalmem } from "node:os";
import type { CallOptions } from "../context.ts";
import { defaultMaxBad } from "../data/data-params.ts";
import { type DataSet, dataSets } from "../data/sets/catalogue.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { userCache } from "../files/cache-location.ts";
import { type HubAccess, userHub } from "../files/hub/settings.ts";
import type { DataCheck } from "../jobs/check.ts";
import type { Comparison } from "../jobs/compare.ts";
import type { Grid } from "../jobs/compare-config.ts";
import { type FetchedEncoder, type ListedEncoder, listEncoders } from "../jobs/encoders.ts";
import type { FeaturesResult } from "../jobs/features.ts";
import type { Inspection } from "../jobs/inspection.ts";
import type {
  BaselineParams,
  CheckParams,
  CompareParams,
  DistillParams,
  EvaluateParams,
  FeaturesParams,
  FetchParams,
  InspectParams,
  ProfileParams,
} from "../jobs/params.ts";
import type { StepProfile } from "../jobs/step-profile.ts";
import type { DistillSummary } from "../jobs/summary.ts";
import { run } from "../jobs/worker/client.ts";
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
export type ExtractRequest = WithDefaults<FeaturesParams>;
export type InspectRequest = Omit<InspectParams, "encoder">;
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
  others: true,
  preset: true,
  resume: true,
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
