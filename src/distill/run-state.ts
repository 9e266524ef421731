import * as z from "zod";
import { CurvePoint } from "../artifact/manifest.ts";
import { BatchSampler, BatchSamplerState } from "../features/batch-sampler.ts";
import { Preprocessing } from "../images/preprocess.ts";
import { DistillConfig } from "../recipe/config.ts";
import type { AdamBlock } from "../synthetic/adam.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import type { DistillState } from "./state.ts";

/** What a run is of: a checkpoint is only taken up by the same. */
export const RunIdentity = z.object({
  config: DistillConfig,
  /** The encoder's sha256. */
  encoder: z.string(),
  /** The tensor that features are of, and how it is pooled. */
  feature: z.string(),
  preprocessing: Preprocessing,
  /** The same of further encoders, where there are some. */
  others: z
    .array(z.object({ encoder: z.string(), feature: z.string(), preprocessing: Preprocessing }))
    .optional(),
  /** Fingerprint of the training images. */
  data: z.string(),
  /** SHA-256 of the images that the run started from, where it did. */
  from: z.string().optional(),
});
export type RunIdentity = z.infer<typeof RunIdentity>;

/** Raised when a checkpoint is laid out otherwise, or a step computes something else from the same state. */
export const checkpointFormat = "8";

/** How the images are cut into shards, which decides on bits: a run keeps it. */
export const ShardCut = z.object({
  /** Images in a shard. */
  batch: z.int().positive(),
  activations: z.enum(["save", "recompute"]),
});
export type ShardCut = z.infer<typeof ShardCut>;

const Meta = z.object({
  identity: RunIdentity,
  step: z.int().nonnegative(),
  adamSteps: z.int().nonnegative(),
  parametrization: z.enum(["pyramid", "pixels"]),
  count: z.int().positive(),
  size: z.int().positive(),
  sides: z.array(z.int().positive()),
  cut: ShardCut,
  sampler: BatchSamplerState,
  curve: z.array(CurvePoint),
  seconds: z.number(),
});

/** A run as it stood at some step. */
export interface Checkpoint {
  readonly identity: RunIdentity;
  readonly state: DistillState;
  readonly parameters: SyntheticParameters;
  readonly cut: ShardCut;
  readonly curve: readonly CurvePoint[];
  /** Seconds spent distilling so far. */
  readonly seconds: number;
}

const targetsName = "targets";

/**
 * What a checkpoint's hash begins with: all that its header says, what the run is of and which tensors follow, as they are
 * named and shaped. The bytes of these come next, in the same order.
 */
export function checkpointHead(
  text: string,
  tensors: Iterable<readonly [name: string, { readonly dtype: string; readonly shape: readonly number[] }]>,
): string {
  const named = Array.from(tensors, ([name, { dtype, shape }]) => [name, dtype, shape]);
  return JSON.stringify([checkpointFormat, text, named]);
}

/** A run as a text, JSON, and arrays by their names: what a checkpoint's file holds. */
export function savedRun(checkpoint: Checkpoint): {
  readonly text: string;
  readonly arrays: readonly (readonly [name: string, values: Float32Array])[];
} {
  const { identity, state, parameters, cut, curve, seconds } = checkpoint;
  const meta: z.input<typeof Meta> = {
    identity,
    step: state.step,
    adamSteps: parameters.adamSteps,
    parametrization: parameters.parametrization,
    count: parameters.count,
    size: parameters.size,
    sides: parameters.levels.map((level) => level.side),
    cut,
    sampler: state.sampler.state,
    curve: [...curve],
    seconds,
  };
  const blocks: [string, AdamBlock][] = [
    ...parameters.levels.map((level): [string, AdamBlock] => [`level/${level.side}`, level]),
    ["labels", state.labels],
    ["logTau", state.logTau],
  ];
  const arrays = blocks.flatMap(([name, block]) =>
    (["values", "first", "second"] as const).map((part): [string, Float32Array] => [
      `${name}/${part}`,
      block[part],
    ]),
  );
  if (state.targets) arrays.push([targetsName, state.targets]);
  return { text: JSON.stringify(meta), arrays };
}

/** The run that `savedRun` wrote down, bit for bit. Fails only where it was written wrongly. */
export function restoredRun(text: string, blocks: ReadonlyMap<string, Float32Array>): Checkpoint {
  const { identity, sampler, curve, seconds, step, sides, cut, ...rest } = Meta.parse(JSON.parse(text));
  const block = (name: string): AdamBlock => ({
    values: blocks.get(`${name}/values`)!,
    first: blocks.get(`${name}/first`)!,
    second: blocks.get(`${name}/second`)!,
  });
  const levels = sides.map((side) => ({ side, ...block(`level/${side}`) }));
  const parameters = { ...rest, first: 0, levels };
  const state: DistillState = {
    step,
    levels: sides.length,
    adamSteps: rest.adamSteps,
    sampler: BatchSampler.from(sampler),
    labels: block("labels"),
    logTau: block("logTau"),
    targets: blocks.get(targetsName),
  };
  return { identity, state, parameters, cut, curve, seconds };
}

/** What differs between the run that left a checkpoint and the one that would take it up; undefined if nothing. */
export function describeMismatch(saved: RunIdentity, now: RunIdentity): string | undefined {
  const differences = [
    ...(saved.encoder === now.encoder ? [] : ["the encoder"]),
    ...(saved.data === now.data ? [] : ["the data set"]),
    ...changes({ feature: saved.feature }, { feature: now.feature }),
    ...changes(saved.preprocessing, now.preprocessing),
    ...(JSON.stringify(saved.others ?? []) === JSON.stringify(now.others ?? [])
      ? []
      : ["the further encoders"]),
    ...(saved.from === now.from ? [] : ["the set that it starts from"]),
    // Of runs from before it was recorded, it is not known.
    ...changes({ ...saved.config, mirror: saved.config.mirror ?? now.config.mirror }, now.config),
  ];
  return differences.length === 0 ? undefined : differences.join(", ");
}

/** "resize (32 then, 64 now)" of every key with another value. */
function changes<Settings extends object>(before: Settings, after: Settings): string[] {
  const keys = Object.keys({ ...before, ...after }) as (keyof Settings & string)[];
  const shown = (value: unknown) => JSON.stringify(value) ?? "nothing";
  return keys
    .filter((key) => shown(before[key]) !== shown(after[key]))
    .map((key) => `${key} (${shown(before[key])} then, ${shown(after[key])} now)`);
}
