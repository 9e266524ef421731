import * as z from "zod";
import { RunIdentity, ShardCut } from "../distill/run-state.ts";

/** Raised when workers of different versions could not work on one run. */
export const protocol = "2";

/** What all workers of a run have in common, as the server keeps it. */
export const RunTerms = z.object({
  /** Version of clp-dd. */
  version: z.string(),
  protocol: z.string(),
  identity: RunIdentity,
  cut: ShardCut,
  /** Images and shards. */
  count: z.int().positive(),
  shards: z.int().positive(),
  steps: z.int().positive(),
  /** The checkpoint that it resumes, by its step and the id of the run that wrote it. */
  base: z.object({ step: z.int(), run: z.string() }).nullable(),
  /** Where the worker that began the run writes its result. */
  out: z.string(),
  /** ISO time at which it began, by that worker's clock. */
  began: z.string(),
});
export type RunTerms = z.infer<typeof RunTerms>;

/** What a worker says of itself. */
export const WorkerStatus = z.object({
  host: z.string(),
  pid: z.int(),
  cpu: z.string(),
  /** Steps that it has done. */
  step: z.int(),
  loss: z.number().nullable(),
  shards: z.int(),
  /** Images that it computes in a step, over the seconds that it computes for: without waiting for others. */
  imagesPerSecond: z.number().nullable(),
  /** Seconds of its latest step, and those of them in which it waited for others' features. */
  stepSeconds: z.number().nullable(),
  waitSeconds: z.number().nullable(),
  /** Shards computed so far: what shows that it is not stuck. */
  progress: z.int(),
  /** What it is doing. */
  doing: z.enum(["preparing", "catching up", "distilling", "writing", "waiting"]),
});
export type WorkerStatus = z.infer<typeof WorkerStatus>;

/** "node3:4711", as messages name a worker. */
export const workerName = ({ host, pid }: Pick<WorkerStatus, "host" | "pid">): string => `${host}:${pid}`;
