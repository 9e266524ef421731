import type { Command } from "commander";
import { formatBytes, formatCount } from "../format.ts";
import {
  addCommonOptions,
  addOptions,
  dataForms,
  type EncoderOptions,
  encoderNames,
  ownOption,
} from "./options.ts";
import { integer } from "./parse.ts";
import { encoderParams, runJob } from "./run.ts";
import { parseShard, type Shard } from "./shard.ts";
import { formatTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

export function addFeatures(command: Command): void {
  command
    .description(
      "Computes the encoder's features of every image and keeps them in the cache, where `distill` and `evaluate` " +
        "find them. Stopped at any moment, it resumes where it was. With --shard, several machines share the work " +
        "over a common cache folder; the last one merges the parts.",
    )
    .argument("<data>", dataForms)
    .addOption(
      ownOption(
        "--shard <part>",
        "only part i/n; n alone: i from JOB_COMPLETION_INDEX (Kubernetes) or SLURM_ARRAY_TASK_ID; auto: both from Slurm",
        "Sharing:",
      ).argParser((value) => parseShard(value, process.env)),
    )
    .addOption(
      ownOption("--merge <n>", "only check and merge the n parts, if the last one did not", "Sharing:")
        .argParser(integer(1))
        .conflicts("shard"),
    )
    .addOption(
      ownOption("--storage <type>", "numbers on disk", "Data:")
        .choices(["float32", "float16"])
        .default("float32"),
    );
  addOptions(command, encoderNames);
  addCommonOptions(command);
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
      print(`${formatTable(["split", "images", "size", "cache"], rows)}\n`);
      if (options.json) printJson(results);
    },
  );
}
