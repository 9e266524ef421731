import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { CurvePoint } from "../artifact/manifest.ts";
import { blockArrays, blockOf, readHashed, writeHashed } from "../distill/checkpoint-file.ts";
import { type Checkpoint, RunIdentity, ShardCut } from "../distill/run-state.ts";
import { shareOut } from "../distill/sharded-images.ts";
import type { DistillState } from "../distill/state.ts";
import { DataError, UsageError } from "../errors.ts";
import { BatchSampler, BatchSamplerState } from "../features/batch-sampler.ts";
import { makeFolders, onDisk, replaceFile } from "../files/disk.ts";
import { joined, partOf, type SyntheticParameters } from "../synthetic/parameters.ts";

/** Raised when files are laid out otherwise, or a step computes something else from the same state. */
const format = "machines-1";

const markerName = "generation.json";
/** By which workers know that they see the same folder. */
export const runFile = "run.json";

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

/** Whose files: those of a run's own id, or of the run that it resumes. */
const shardFile = (shard: number, step: number, run: string) =>
  `shard-${shard}-${step}-${run.slice(0, 8)}.safetensors`;
const stateFile = (step: number, run: string) => `state-${step}-${run.slice(0, 8)}.safetensors`;
const named =
  /^(?:shard-(?<shard>\d+)|state)-(?<step>\d+)-(?<run>[0-9a-f]{8})\.safetensors(?<partial>\..*)?$/;

/** A checkpoint of all shards: its step, and the id of the run that wrote it. */
export type Generation = Pick<Marker, "step" | "run">;

/**
 * The checkpoints of a run of many workers, in the folder that they share: a file for each shard and for the rest of
 * the state, at the same step, and a marker that names the latest step of which all are there. What a file holds follows from
 * its name, so two workers that write the same one write the same bytes.
 */
export class RunFolder {
  readonly path: string;
  /** The run's id. */
  readonly run: string;
  /** In the names of what this worker has half written. */
  readonly #own = randomUUID().slice(0, 8);

  constructor(path: string, run: string) {
    this.path = path;
    this.run = run;
  }

  async mark(marker: Omit<Marker, "format" | "run">): Promise<void> {
    await onDisk(this.path, async () => {
      await makeFolders(this.path);
      await replaceFile(
        join(this.path, markerName),
        JSON.stringify({ format, run: this.run, ...marker } satisfies Marker),
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
    await this.#write(shardFile(shard, step, this.run), { text: JSON.stringify(meta), arrays }, mayWrite);
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
    await this.#write(stateFile(step, this.run), { text: JSON.stringify(meta), arrays }, mayWrite);
  }

  async loadState({ step, run }: Generation): Promise<SavedState> {
    const { text, arrays } = await readHashed(join(this.path, stateFile(step, run)), format);
    const { curve, seconds, sampler, ...rest } = StateMeta.parse(JSON.parse(text));
    const state: DistillState = {
      ...rest,
      sampler: BatchSampler.from(sampler),
      labels: blockOf(arrays, "labels"),
      logTau: blockOf(arrays, "logTau"),
      targets: arrays.get("targets"),
    };
    return { state, curve, seconds };
  }

  async loadShard(shard: number, { step, run }: Generation): Promise<SyntheticParameters> {
    const { text, arrays } = await readHashed(join(this.path, shardFile(shard, step, run)), format);
    const { sides, step: _, ...rest } = ShardMeta.parse(JSON.parse(text));
    return { ...rest, levels: sides.map((side) => ({ side, ...blockOf(arrays, `level/${side}`) })) };
  }

  /** The latest step, up to `step`, at which this run has saved a shard; undefined where it never has. */
  async latest(shard: number, step: number): Promise<Generation | undefined> {
    const steps = (await this.#files())
      .filter((file) => file.own && file.partial === undefined && file.shard === shard && file.step <= step)
      .map((file) => file.step);
    return steps.length === 0 ? undefined : { step: Math.max(...steps), run: this.run };
  }

  /** Removes what is of steps before `step`, and of other runs but the checkpoint that this one resumed. */
  async clean(step: number, resumed: Generation | undefined): Promise<void> {
    for (const file of await this.#files()) {
      const isBase = file.run === resumed?.run.slice(0, 8) && file.step === resumed.step;
      if (file.step >= step && (file.own || isBase)) continue;
      // What another worker is writing at this moment.
      if (file.own && file.partial !== undefined && file.step >= step) continue;
      await rm(join(this.path, file.name), { force: true });
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
    await writeHashed(this.path, name, format, content, { temporary: `${name}.${this.#own}`, mayWrite });
  }

  async #files() {
    const names = await readdir(this.path).catch(() => []);
    return names.flatMap((name) => {
      const groups = named.exec(name)?.groups;
      if (groups === undefined) return [];
      const { shard, step, run, partial } = groups;
      const own = run === this.run.slice(0, 8);
      return [
        {
          name,
          own,
          run,
          partial,
          step: Number(step),
          shard: shard === undefined ? undefined : Number(shard),
        },
      ];
    });
  }
}

/** The latest whole checkpoint in `folder`. @throws DataError where it is of another version */
export async function readMarker(folder: string): Promise<Marker | undefined> {
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

/** Throws UsageError for a checkpoint that a run would write over without having been told to. */
export function requireNoGeneration(folder: string): void {
  if (!existsSync(join(folder, markerName))) return;
  throw new UsageError(
    `A run of several workers that was stopped left its checkpoint in ${folder}. Resume it with \`resume: true\`, ` +
      "or start again and replace it with `overwrite: true`.",
  );
}

/** The images of the checkpoint that a marker names, as one. */
export async function loadImages(
  folder: RunFolder,
  shards: number,
  generation: Generation,
): Promise<SyntheticParameters> {
  const parts: SyntheticParameters[] = [];
  for (let shard = 0; shard < shards; shard++) parts.push(await folder.loadShard(shard, generation));
  return joined(parts);
}

/** The latest whole checkpoint in `folder` as that of a run alone; undefined without one. */
export async function loadGeneration(folder: string): Promise<Checkpoint | undefined> {
  const marker = await readMarker(folder);
  if (marker === undefined) return undefined;
  const files = new RunFolder(folder, marker.run);
  const { identity, cut, shards } = marker;
  return {
    identity,
    cut,
    ...(await files.loadState(marker)),
    parameters: await loadImages(files, shards, marker),
  };
}

/** Writes the checkpoint of a run alone as one of many workers, from which they continue. */
export async function shareCheckpoint(folder: string, checkpoint: Checkpoint): Promise<Marker> {
  const { identity, state, parameters, cut, curve, seconds } = checkpoint;
  const files = new RunFolder(folder, randomUUID());
  const places = shareOut(parameters.count, cut.batch, 1);
  const mayWrite = async () => true;
  for (const [shard, { start, count }] of places.entries())
    await files.saveShard(shard, state.step, partOf(parameters, start, count), mayWrite);
  await files.saveState({ state, curve, seconds }, mayWrite);
  const marker = { identity, cut, shards: places.length, step: state.step };
  await files.mark(marker);
  return { format, run: files.run, ...marker };
}

/** Removes the checkpoints of a run of many workers. */
export async function removeGenerations(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  // The marker first: files without it are nobody's checkpoint.
  for (const name of [
    markerName,
    runFile,
    ...names.filter((name) => named.test(name) || name.startsWith(`${markerName}.`)),
  ])
    await rm(join(folder, name), { force: true });
}
