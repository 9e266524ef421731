import type { Command } from "commander";
import { addRecipe, distill, sizeIn } from "./distill.ts";
import { addCommonOptions, addOptions, encoderNames } from "./options.ts";

/** Emojis are drawn at 128 px; the encoder sees them whole. */
const demoSize = 128;

/** The demo's own folder, which the next demo replaces. */
const demoOut = "out-demo";

export function addDemo(command: Command): void {
  command.description(
    "Distills 6,500 emojis of four icon sets (8 Unicode groups) to one image per group, and tests on two icon " +
      "sets drawn by other hands. Needs nothing but this package; a few minutes on 2 cores, most of them the first " +
      "time, for the features of the real images.",
  );
  addRecipe(command);
  addOptions(command, encoderNames, { size: { says: String(demoSize) }, resize: { says: "--size" } });
  addOptions(command, ["out", "overwrite", "resume", "baselines", "edits"], {
    out: { usual: demoOut, text: "where the result goes" },
    overwrite: { text: `replace the set that is at --out, as the one at ${demoOut} always is` },
    resume: { text: "resume from the checkpoint of a stopped demo" },
  });
  addCommonOptions(command);
  command.action((options) => {
    const size = options.size ?? sizeIn(options.encoder) ?? demoSize;
    return distill(
      "emoji",
      {
        ...options,
        size,
        resize: options.resize ?? size,
        overwrite: options.overwrite ?? options.out === demoOut,
      },
      command,
    );
  });
}
