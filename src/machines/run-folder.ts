import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { CurvePoint } from "../artifact/manifest.ts";
import { RunIdentity, ShardCut } from "../distill/checkpoint.ts";
import { blockArrays, blockOf, readHashed, writeHashed } from "../distill/checkpoint-file.ts";
import type { DistillState } from "../distill/state.ts";
import { DataError } from "../errors.ts";
import { BatchSampler, BatchSamplerState } from "../features/batch-sampler.ts";
import { makeFolders, onDisk, replaceFile } from "../files/disk.ts";
import { joined, type SyntheticParameters } from "../synthetic/parameters.ts";

/** Raised when files are laid out otherwise, or a step computes something else from the same state. */
const format = "machines-1";

const markerName = "generation.json";

/** The latest checkpoint that is whole. */
const Marker = z.object({
  format: z.string(),
  /** The run's id on its server. */
  run: z.string(),
  identity: RunIdentity,
  cut: ShardCut,
  /** Shards of the run, and steps that were done: the files of both have it in their names. */
  shards: z.int().positive(),
  step: z.int().nonnegative(),
});
export type Marker = z.infer<typeof Marker>;

const StateMeta = z.object({
  step: z.int(),
  levels: z.int(),
  adamSteps: z.int(),
  sampler: BatchSamplerState,
  curve: z.array(CurvePoint),
  seconds: z.number(),
});

const ShardMeta = z.object({
  step: z.int(),
  parametrization: z.enum(["pyramid", "pixels"]),
  first: z.int(),
  count: z.int(),
  size: z.int(),
  adamSteps: z.int(),
  sides: z.array(z.int()),
});

/** What a run knows beside its images, at some step. */
export interface SavedState {
  readonly state: DistillState;
  readonly curve: readonly CurvePoint[];
  readonly seconds: number;
}

const shardFile = (shard: number, step: number) => `shard-${shard}-${step}.safetensors`;
const stateFile = (step: number) => `state-${step}.safetensors`;
const named = /^(?:shard-(?<shard>\d+)|state)-(?<step>\d+)\.safetensors(?<partial>\..*)?$/;

/**
 * The checkpoints of a run of many workers, in the folder that they share: a file for each shard and for the rest of
 * the state, at the same step, and a marker that names the latest step of which all are there. What a file holds follows from
 * its name, so two workers that write the same one write the same bytes.
 */
export class RunFolder {
  readonly path: string;
  readonly #run: string;
  /** In the names of what this worker has half written. */
  readonly #own = randomUUID().slice(0, 8);

  /** @param run the run's id */
  constructor(path: string, run: string) {
    this.path = path;
    this.#run = run;
  }

  /** The latest whole checkpoint. @throws DataError where it is of another version */
  async marker(): Promise<Marker | undefined> {
    return readMarker(this.path);
  }

  async mark(marker: Omit<Marker, "format" | "run">): Promise<void> {
    await onDisk(this.path, async () => {
      await makeFolders(this.path);
      await replaceFile(
        join(this.path, markerName),
        JSON.stringify({ format, run: this.#run, ...marker } satisfies Marker),
        join(this.path, `${markerName}.${this.#own}`),
      );
    });
  }

  /** @param mayWrite whether the shard is still the caller's */
  async saveShard(
    shard: number,
    step: number,
    parameters: SyntheticParameters,
    mayWrite: () => Promise<boolean>,
  ): Promise<void> {
    const { levels, ...rest } = parameters;
    const meta: z.infer<typeof ShardMeta> = { step, ...rest, sides: levels.map(({ side }) => side) };
    const arrays = new Map(levels.flatMap((level) => blockArrays(`level/${level.side}`, level)));
    await this.#write(shardFile(shard, step), { meta, arrays }, mayWrite);
  }

  async saveState({ state, curve, seconds }: SavedState, mayWrite: () => Promise<boolean>): Promise<void> {
    const { step, levels, adamSteps, sampler } = state;
    const meta: z.input<typeof StateMeta> = {
      ...{ step, levels, adamSteps, seconds },
      sampler: sampler.state,
      curve: [...curve],
    };
    const arrays = new Map([...blockArrays("labels", state.labels), ...blockArrays("logTau", state.logTau)]);
    if (state.targets) arrays.set("targets", state.targets);
    await this.#write(stateFile(step), { meta, arrays }, mayWrite);
  }

  async loadState(step: number): Promise<SavedState> {
    const { meta, arrays } = await readHashed(join(this.path, stateFile(step)), format);
    const { curve, seconds, sampler, ...rest } = StateMeta.parse(meta);
    const state: DistillState = {
      ...rest,
      sampler: BatchSampler.from(sampler),
      labels: blockOf(arrays, "labels"),
      logTau: blockOf(arrays, "logTau"),
      targets: arrays.get("targets"),
    };
    return { state, curve, seconds };
  }

  async loadShard(shard: number, step: number): Promise<SyntheticParameters> {
    const { meta, arrays } = await readHashed(join(this.path, shardFile(shard, step)), format);
    const { sides, step: _, ...rest } = ShardMeta.parse(meta);
    return { ...rest, levels: sides.map((side) => ({ side, ...blockOf(arrays, `level/${side}`) })) };
  }

  /** The latest step, up to `step`, at which a shard was saved; undefined where it never was. */
  async latest(shard: number, step: number): Promise<number | undefined> {
    const steps = (await this.#files()).filter((file) => file.shard === shard && file.step <= step);
    return steps.length === 0 ? undefined : Math.max(...steps.map((file) => file.step));
  }

  /** Removes the files of steps for which `unneeded` holds, and what was left half written. */
  async clean(unneeded: (step: number) => boolean): Promise<void> {
    for (const file of await this.#files(true)) {
      if (unneeded(file.step)) await rm(join(this.path, file.name), { force: true });
    }
  }

  async remove(): Promise<void> {
    await removeGenerations(this.path);
  }

  async #write(
    name: string,
    content: Parameters<typeof writeHashed>[3],
    mayWrite: () => Promise<boolean>,
  ): Promise<void> {
    if (existsSync(join(this.path, name))) return;
    await writeHashed(this.path, name, format, content, `${name}.${this.#own}`, mayWrite);
  }

  async #files(partial = false) {
    const names = await readdir(this.path).catch(() => []);
    return names.flatMap((name) => {
      const groups = named.exec(name)?.groups;
      if (groups === undefined || (groups.partial !== undefined && !partial)) return [];
      return [{ name, step: Number(groups.step), shard: groups.shard === undefined ? undefined : Number(groups.shard) }];
    });
  }
}

async function readMarker(folder: string): Promise<Marker | undefined> {
  const path = join(folder, markerName);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const parsed = Marker.parse(JSON.parse(text));
    if (parsed.format === format) return parsed;
  } catch {
    // As below.
  }
  throw new DataError(
    `The checkpoint ${path} is damaged, or was written by another version of clp-dd. Finish the run with that version, or ` +
      `delete ${folder} and start again without \`resume: true\`.`,
  );
}

/** Whether a run of many workers has left a checkpoint in `folder`. */
export const hasGeneration = (folder: string): boolean => existsSync(join(folder, markerName));

/** The images of the checkpoint that a marker names, as one. */
export async function loadImages(folder: RunFolder, { shards, step }: Marker): Promise<SyntheticParameters> {
  const parts: SyntheticParameters[] = [];
  for (let shard = 0; shard < shards; shard++) parts.push(await folder.loadShard(shard, step));
  return joined(parts);
}

/** Removes the checkpoints of a run of many workers. */
export async function removeGenerations(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  // The marker first: files without it are nobody's checkpoint.
  for (const name of [markerName, ...names.filter((name) => named.test(name) || name.startsWith(`${markerName}.`))])
    await rm(join(folder, name), { force: true });
}
