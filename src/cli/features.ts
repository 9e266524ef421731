import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes } from "./format.ts";
import { commonOptions, encoderOptions } from "./options.ts";
import { type EncoderOptions, encoderParams, printJson, runJob } from "./run.ts";
import { formatTable } from "./table.ts";

interface Part {
  readonly index: number;
  readonly count: number;
}

/** "3/8": part 3 of 8, counted from 0. */
function part(value: string): Part {
  const match = /^(\d+)\/(\d+)$/.exec(value);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || index >= count) throw new InvalidArgumentError("Expected i/n with 0 ≤ i < n, such as 0/8.");
  return { index, count };
}

/** The part's index from Kubernetes or Slurm, where only the number of parts is given. */
function partOf(value: string): Part {
  if (value.includes("/")) return part(value);
  const index = process.env.JOB_COMPLETION_INDEX ?? process.env.SLURM_ARRAY_TASK_ID;
  if (index === undefined) {
    throw new InvalidArgumentError(
      "Expected i/n; with n alone, JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID must be set.",
    );
  }
  return part(`${index}/${value}`);
}

export function addFeatures(program: Command): void {
  const command = program
    .command("features")
    .summary("compute and cache the features of a data set")
    .description(
      "Computes the encoder's features of every image and keeps them in the cache, where `distill` and `evaluate`\n" +
        "find them. Stopped at any moment, it goes on where it was. With --shard, several machines share the work\n" +
        "over a common cache folder; the last one merges the parts.",
    )
    .argument("<dir>", "folder of images, or an embedded set")
    .option(
      "--shard <i/n>",
      "only part i of n (n alone: i from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID)",
      partOf,
    )
    .addOption(
      new Option("--storage <type>", "numbers on disk").choices(["float32", "float16"]).default("float32"),
    );
  commonOptions(encoderOptions(command));
  command.action(
    async (data: string, options: EncoderOptions & { shard?: Part; storage: "float32" | "float16" }) => {
      const results = await runJob<{ split: string; count: number; featureSize: number; path: string }[]>(
        "features",
        { ...encoderParams(options), data, part: options.shard, storage: options.storage },
        options,
      );
      const width = options.storage === "float16" ? 2 : 4;
      const rows = results.map((r) => [
        r.split,
        String(r.count),
        formatBytes(r.count * r.featureSize * width),
        r.path,
      ]);
      process.stdout.write(`${formatTable(["split", "images", "size", "cache"], rows)}\n`);
      if (options.json) printJson(results);
    },
  );
}
