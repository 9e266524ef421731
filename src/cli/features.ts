import { type Command, Option } from "commander";
import { formatBytes, formatCount } from "./format.ts";
import { commonOptions, encoderOptions, integer } from "./options.ts";
import { type EncoderOptions, encoderParams, printJson, runJob } from "./run.ts";
import { parseShard, type Shard } from "./shard.ts";
import { formatTable } from "./table.ts";

export function addFeatures(program: Command): void {
  const command = program
    .command("features")
    .summary("compute and cache the features of a data set")
    .description(
      "Computes the encoder's features of every image and keeps them in the cache, where `distill` and `evaluate` " +
        "find them. Stopped at any moment, it goes on where it was. With --shard, several machines share the work " +
        "over a common cache folder; the last one merges the parts.",
    )
    .argument("<data>", "folder of images, NAME:PATH (see `clp-dd datasets`), or an embedded set")
    .option(
      "--shard <part>",
      "only part i/n; n alone: i from JOB_COMPLETION_INDEX (Kubernetes) or SLURM_ARRAY_TASK_ID; auto: both from Slurm",
      (value) => parseShard(value, process.env),
    )
    .addOption(
      new Option("--merge <n>", "only check and merge the n parts, if the last one did not")
        .argParser(integer(1))
        .conflicts("shard"),
    )
    .addOption(
      new Option("--storage <type>", "numbers on disk").choices(["float32", "float16"]).default("float32"),
    );
  commonOptions(encoderOptions(command));
  command.action(
    async (
      data: string,
      options: EncoderOptions & { shard?: Shard; merge?: number; storage: "float32" | "float16" },
    ) => {
      const results = await runJob(
        "features",
        {
          ...encoderParams(options),
          data,
          part: options.shard,
          merge: options.merge,
          storage: options.storage,
        },
        options,
      );
      const width = options.storage === "float16" ? 2 : 4;
      const rows = results.map((r) => [
        r.split,
        formatCount(r.count),
        formatBytes(r.count * r.featureSize * width),
        r.path,
      ]);
      process.stdout.write(`${formatTable(["split", "images", "size", "cache"], rows)}\n`);
      if (options.json) printJson(results);
    },
  );
}
