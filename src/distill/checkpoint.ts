import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { CurvePoint } from "../artifact/manifest.ts";
import { DataError, UsageError } from "../errors.ts";
import { BatchSampler, BatchSamplerState } from "../features/batch-sampler.ts";
import { makeFolders, onDisk } from "../files/disk.ts";
import { type FolderLock, lockFolder } from "../files/lock.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../files/safetensors.ts";
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
  /** Fingerprint of the training images. */
  data: z.string(),
});
export type RunIdentity = z.infer<typeof RunIdentity>;

/** Raised when a checkpoint is laid out otherwise, or a step computes something else from the same state. */
const format = "5";

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

const fileName = "checkpoint.safetensors";
const temporaryName = `${fileName}.tmp`;
const targetsName = "targets";

/**
 * Locks the folder of a run's checkpoint, made where it is not there, against another run that would write the same;
 * the release removes it where it is empty.
 * @throws DataError naming the process that has it
 */
export async function lockCheckpoints(folder: string): Promise<FolderLock> {
  const again = "run the same command again";
  await onDisk(folder, () => makeFolders(folder), "out", again);
  const lock = await lockFolder(folder);
  return {
    async release() {
      await lock.release();
      // Not where a checkpoint lies in it, or where another run has already made it its own.
      await rmdir(folder).catch(() => {});
    },
  };
}

/** Throws UsageError for a checkpoint that a run would write over without having been told to. */
export function requireNoCheckpoint(folder: string): void {
  if (!existsSync(join(folder, fileName))) return;
  throw new UsageError(
    `A run that was stopped left its checkpoint in ${folder}. Resume it with \`resume: true\`, ` +
      "or start again and replace it with `overwrite: true`.",
  );
}

/** Removes the checkpoint of a run that has ended, and half of one that a kill left. */
export async function removeCheckpoint(folder: string): Promise<void> {
  for (const name of [fileName, temporaryName]) await rm(join(folder, name), { force: true });
}

/** Writes a checkpoint under a temporary name and renames it: a kill leaves the old one or the new one. */
export async function saveCheckpoint(folder: string, checkpoint: Checkpoint): Promise<void> {
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
  const text = JSON.stringify(meta);
  const hash = createHash("sha256").update(text);
  const arrays = blocks.flatMap(([name, block]) =>
    (["values", "first", "second"] as const).map((part): [string, Float32Array] => [
      `${name}/${part}`,
      block[part],
    ]),
  );
  if (state.targets) arrays.push([targetsName, state.targets]);
  const tensors = arrays.map(([name, data]): TensorToWrite => {
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return { name, dtype: "F32", shape: [data.length], data };
  });
  const path = join(folder, fileName);
  const temporary = join(folder, temporaryName);
  // Before the first checkpoint there is nothing to resume from.
  const goOn = existsSync(path)
    ? "resume with `resume: true` from the checkpoint that is there"
    : "run the same command again; it starts anew, as no step was saved";
  const save = async () => {
    await makeFolders(folder);
    try {
      await writeSafetensors(temporary, tensors, { format, meta: text, sha256: hash.digest("hex") });
    } catch (error) {
      // Half a checkpoint would fill a full disk further.
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
    await rename(temporary, path);
    await syncFolder(folder);
  };
  await onDisk(folder, save, "out", goOn);
}

/** Makes a rename outlast a power cut, where the system lets a folder be synced. */
async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, "r").catch(() => undefined);
  await directory?.sync().catch(() => {});
  await directory?.close();
}

/**
 * The checkpoint in `folder`, or undefined without one: bit for bit the state that was saved.
 * @throws DataError when it is damaged or of another version of clp-dd
 */
export async function loadCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const path = join(folder, fileName);
  if (!existsSync(path)) return undefined;
  const damaged = (cause?: unknown) =>
    new DataError(
      `The checkpoint ${path} is damaged (cut short or changed). Delete ${folder} and start again without \`resume: true\`.`,
      { cause },
    );
  const file = await openSafetensors(path).catch((error: unknown) => {
    throw damaged(error);
  });
  try {
    if (file.metadata.format !== format) {
      throw new DataError(
        `The checkpoint ${path} was written by another version of clp-dd. Finish the run with that version, ` +
          `or delete ${folder} and start again without \`resume: true\`.`,
      );
    }
    const text = file.metadata.meta ?? "";
    const hash = createHash("sha256").update(text);
    const blocks = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) {
      const values = await file.float32(name);
      hash.update(new Uint8Array(values.buffer));
      blocks.set(name, values);
    }
    if (hash.digest("hex") !== file.metadata.sha256) throw damaged();
    // What follows can only fail where the checkpoint was written wrongly.
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
  } finally {
    await file.close();
  }
}

/**
 * Throws UsageError, naming what differs, unless the run that left a checkpoint is the one that would take it up.
 * @param folder of the checkpoint
 */
export function requireSameRun(saved: RunIdentity, now: RunIdentity, folder: string): void {
  const difference = describeMismatch(saved, now);
  if (difference === undefined) return;
  throw new UsageError(
    `The checkpoint in ${folder} is of another run. What differs: ${difference}. ` +
      "Resume with the settings it was started with, or start again with `overwrite: true` instead of `resume: true`.",
  );
}

/** What differs between the run that left a checkpoint and the one that would take it up; undefined if nothing. */
export function describeMismatch(saved: RunIdentity, now: RunIdentity): string | undefined {
  const differences = [
    ...(saved.encoder === now.encoder ? [] : ["the encoder"]),
    ...(saved.data === now.data ? [] : ["the data set"]),
    ...changes({ feature: saved.feature }, { feature: now.feature }),
    ...changes(saved.preprocessing, now.preprocessing),
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
