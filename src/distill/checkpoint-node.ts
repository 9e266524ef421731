import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../artifact/safetensors-node.ts";
import { BatchSampler, BatchSamplerState } from "../data/batch-sampler.ts";
import { onDisk } from "../data/disk.ts";
import { DataError } from "../errors.ts";
import type { AdamBlock } from "../synthetic/adam.ts";
import { DistillConfig } from "./config.ts";
import type { DistillState } from "./loop.ts";

/** What a run is of: a checkpoint is only taken up by the same. */
export const RunIdentity = z.object({
  config: DistillConfig,
  encoder: z.string(),
  data: z.string(),
});
export type RunIdentity = z.infer<typeof RunIdentity>;

const CurvePoint = z.object({ step: z.int(), loss: z.number(), batchAccuracy: z.number().optional() });
export type CurvePoint = z.infer<typeof CurvePoint>;

const Meta = z.object({
  identity: RunIdentity,
  step: z.int().nonnegative(),
  adamSteps: z.int().nonnegative(),
  parametrization: z.enum(["pyramid", "pixels"]),
  count: z.int().positive(),
  size: z.int().positive(),
  sides: z.array(z.int().positive()),
  sampler: BatchSamplerState,
  curve: z.array(CurvePoint),
  seconds: z.number(),
});

/** A run as it stood at some step. */
export interface Checkpoint {
  readonly identity: RunIdentity;
  readonly state: DistillState;
  readonly curve: readonly CurvePoint[];
  /** Seconds spent distilling so far. */
  readonly seconds: number;
}

const fileName = "checkpoint.safetensors";

/** Writes a checkpoint under a temporary name and renames it: a kill leaves the old one or the new one. */
export async function saveCheckpoint(folder: string, checkpoint: Checkpoint): Promise<void> {
  const { identity, state, curve, seconds } = checkpoint;
  const { parameters } = state;
  const meta: z.input<typeof Meta> = {
    identity,
    step: state.step,
    adamSteps: parameters.adamSteps,
    parametrization: parameters.parametrization,
    count: parameters.count,
    size: parameters.size,
    sides: parameters.levels.map((level) => level.side),
    sampler: state.sampler.state,
    curve: [...curve],
    seconds,
  };
  const blocks: [string, AdamBlock][] = [
    ...parameters.levels.map((level): [string, AdamBlock] => [`level/${level.side}`, level]),
    ["labels", state.labels],
    ["logTau", state.logTau],
  ];
  const hash = createHash("sha256");
  const tensors = blocks.flatMap(([name, block]) =>
    (["values", "first", "second"] as const).map((part): TensorToWrite => {
      const data = block[part];
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return { name: `${name}/${part}`, dtype: "F32", shape: [data.length], data };
    }),
  );
  const path = join(folder, fileName);
  await onDisk(folder, async () => {
    await mkdir(folder, { recursive: true });
    await writeSafetensors(`${path}.tmp`, tensors, {
      meta: JSON.stringify(meta),
      sha256: hash.digest("hex"),
    });
    await rename(`${path}.tmp`, path);
    const directory = await open(folder, "r");
    await directory.sync().catch(() => {});
    await directory.close();
  });
}

/** The checkpoint in `folder`, or undefined without one. Throws DataError when it is damaged. */
export async function loadCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  const path = join(folder, fileName);
  if (!existsSync(path)) return undefined;
  const file = await openSafetensors(path);
  try {
    const meta = Meta.safeParse(JSON.parse(file.metadata.meta ?? "null"));
    if (!meta.success) throw damaged(path);
    const hash = createHash("sha256");
    const block = async (name: string): Promise<AdamBlock> => {
      const part = async (suffix: string): Promise<Float32Array> => {
        const values = await file.float32(`${name}/${suffix}`);
        hash.update(new Uint8Array(values.buffer));
        return values;
      };
      return { values: await part("values"), first: await part("first"), second: await part("second") };
    };
    const { identity, step, adamSteps, parametrization, count, size, sides, sampler, curve, seconds } =
      meta.data;
    const levels = [];
    for (const side of sides) levels.push({ side, ...(await block(`level/${side}`)) });
    const labels = await block("labels");
    const logTau = await block("logTau");
    if (hash.digest("hex") !== file.metadata.sha256) throw damaged(path);
    const parameters = { parametrization, count, size, levels, adamSteps };
    const state: DistillState = { step, parameters, sampler: BatchSampler.from(sampler), labels, logTau };
    return { identity, state, curve, seconds };
  } finally {
    await file.close();
  }
}

const damaged = (path: string) =>
  new DataError(`The checkpoint ${path} is damaged. Delete its folder and start again without --resume.`);

/** What differs between the run that left a checkpoint and the one that would take it up; undefined if nothing. */
export function describeMismatch(saved: RunIdentity, now: RunIdentity): string | undefined {
  const differences: string[] = [];
  if (saved.encoder !== now.encoder) differences.push("the encoder");
  if (saved.data !== now.data) differences.push("the data set");
  for (const key of Object.keys(now.config) as (keyof DistillConfig)[]) {
    const [before, after] = [JSON.stringify(saved.config[key]), JSON.stringify(now.config[key])];
    if (before !== after) differences.push(`${key} (${before} then, ${after} now)`);
  }
  return differences.length === 0 ? undefined : differences.join(", ");
}
