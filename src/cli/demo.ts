import type { Command } from "commander";
import { distill, distillOptions } from "./distill.ts";
import { commonOptions, editsOptions, encoderOptions } from "./options.ts";

/** Emojis are drawn at 128 px; the encoder sees them whole. */
const demoSize = 128;

/** The demo's own folder, which the next demo replaces. */
const demoOut = "out-demo";

export function addDemo(program: Command): void {
  const command = program
    .command("demo")
    .summary("distil the embedded emoji set with the embedded encoder")
    .description(
      "Distils 6,500 emojis of four icon sets (8 Unicode groups) to one image per group, and tests on two icon " +
        "sets drawn by other hands. Needs nothing but this package; a few minutes on 2 cores, most of them the first " +
        "time, for the features of the real images.",
    )
    .option("--out <folder>", "where the result goes", demoOut)
    .option("--overwrite", `replace a set that lies at --out, as one at ${demoOut} always is`)
    .option("--resume", "go on from the checkpoint of a stopped demo")
    .option("--no-baselines", "do not measure full data, centroid and random images");
  editsOptions(command);
  commonOptions(encoderOptions(distillOptions(command), { size: String(demoSize), resize: "--size" }));
  command.action((options) =>
    distill("emoji", {
      size: demoSize,
      resize: options.size ?? demoSize,
      ...options,
      overwrite: options.overwrite ?? options.out === demoOut,
    }),
  );
}
