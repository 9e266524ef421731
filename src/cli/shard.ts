import { UsageError } from "../errors.ts";

/** Part `index`, counted from 0, of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

const expected =
  "Expected i/n with 0 ≤ i < n, such as 0/8; n alone, for the i of JOB_COMPLETION_INDEX (Kubernetes) or " +
  "SLURM_ARRAY_TASK_ID; or auto, for i and n of a Slurm array.";

/**
 * The part of the work that a process of many is to do.
 *
 * "i/n" says it. With "n" alone, i is Kubernetes' JOB_COMPLETION_INDEX or Slurm's SLURM_ARRAY_TASK_ID: counted from
 * SLURM_ARRAY_TASK_MIN where the array has n tasks (1-8 for n = 8), from 0 where it has not: then it repeats some
 * tasks of an earlier one (--array=3,5). With "auto", n is SLURM_ARRAY_TASK_COUNT as well.
 *
 * @param environment such as `process.env`
 * @throws UsageError when the value or the variables name no part
 */
export function parseShard(value: string, environment: Readonly<Record<string, string | undefined>>): Shard {
  const given = /^(\d+)\/(\d+)$/.exec(value);
  if (given) return checked(value, Number(given[1]), Number(given[2]));
  const variable = (name: string): number | undefined => {
    const text = environment[name];
    if (text === undefined || text === "") return undefined;
    if (!/^\d+$/.test(text)) throw new UsageError(`${name} is "${text}", not a whole number.`);
    return Number(text);
  };
  const tasks = variable("SLURM_ARRAY_TASK_COUNT");
  const count = value === "auto" ? tasks : /^\d+$/.test(value) ? Number(value) : undefined;
  if (count === undefined) {
    const why = value === "auto" ? " SLURM_ARRAY_TASK_COUNT is not set." : "";
    throw new UsageError(`--shard cannot be "${value}".${why} ${expected}`);
  }
  const completion = variable("JOB_COMPLETION_INDEX");
  if (completion !== undefined && value !== "auto") return checked(value, completion, count);
  const task = variable("SLURM_ARRAY_TASK_ID");
  if (task === undefined) {
    throw new UsageError(
      `--shard ${value} takes its index from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID; neither is set. ${expected}`,
    );
  }
  const first = tasks === count ? (variable("SLURM_ARRAY_TASK_MIN") ?? 0) : 0;
  const step = tasks === count ? (variable("SLURM_ARRAY_TASK_STEP") ?? 1) : 1;
  return checked(value, (task - first) / step, count);
}

function checked(value: string, index: number, count: number): Shard {
  if (Number.isInteger(index) && index >= 0 && index < count) return { index, count };
  throw new UsageError(`--shard ${value} makes part ${index} of ${count}. ${expected}`);
}
