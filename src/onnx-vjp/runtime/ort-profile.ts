import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Runtime } from "../graph/runtime.ts";
import type { NodeTime } from "./node-time.ts";

export type { NodeTime };

/** A runtime whose sessions write ONNX Runtime's profile into `folder`, as `<prefix><n>_…`, when they go. */
export function profilingRuntime(runtime: Runtime, folder: string, prefix = "session"): Runtime {
  let made = 0;
  return {
    ...runtime,
    // A graph that is asked for its types alone is not run.
    session: (graph, options = {}) =>
      options.optimize === "off"
        ? runtime.session(graph, options)
        : runtime.session(graph, { ...options, profile: join(folder, `${prefix}${made++}`) }),
  };
}

const Event = z.object({
  cat: z.string(),
  name: z.string(),
  ts: z.number(),
  dur: z.number(),
  args: z
    .object({
      op_name: z.string().optional(),
      provider: z.string().optional(),
      output_type_shape: z.array(z.record(z.string(), z.array(z.number()))).optional(),
    })
    .optional(),
});

const suffix = "_kernel_time";

/**
 * Reads the profile of the `index`-th session of a `profilingRuntime`, whose sessions were released.
 *
 * @param warmUp runs at the beginning that do not count: memory is laid out in them
 * @param steps how many steps the remaining runs were
 */
export async function readProfile(
  folder: string,
  index: number,
  warmUp: number,
  steps: number,
  prefix = "session",
): Promise<NodeTime[]> {
  const file = (await readdir(folder)).find((name) => name.startsWith(`${prefix}${index}_`));
  if (file === undefined) throw new Error(`ONNX Runtime left no profile ${prefix}${index} in ${folder}`);
  const events = z.array(Event).parse(JSON.parse(await readFile(join(folder, file), "utf8")));
  const runs = events.filter((e) => e.name === "model_run").sort((a, b) => a.ts - b.ts);
  const from = runs[warmUp]?.ts ?? Number.POSITIVE_INFINITY;
  const times = new Map<string, NodeTime>();
  for (const { cat, name, ts, dur, args } of events) {
    if (cat !== "Node" || ts < from || !name.endsWith(suffix)) continue;
    const node = name.slice(0, -suffix.length);
    const known = times.get(node);
    times.set(node, {
      op: args?.op_name ?? "?",
      node,
      dims: Object.values(args?.output_type_shape?.[0] ?? {})[0] ?? [],
      ms: (known?.ms ?? 0) + dur / 1000 / steps,
      runs: (known?.runs ?? 0) + 1 / steps,
      onProcessor: args?.provider === "CPUExecutionProvider",
    });
  }
  return [...times.values()].sort((a, b) => b.ms - a.ms);
}
