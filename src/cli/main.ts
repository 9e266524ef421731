#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../version.ts";
import { addBaseline } from "./baseline.ts";
import { addCompare } from "./compare.ts";
import { addDatasets } from "./datasets.ts";
import { addDemo } from "./demo.ts";
import { addDistill } from "./distill.ts";
import { addEncoders } from "./encoders.ts";
import { addEvaluate } from "./evaluate.ts";
import { addFeatures } from "./features.ts";
import { addInspect } from "./inspect.ts";
import { addProfile } from "./profile.ts";
import { reportError } from "./run.ts";
import { addVjp } from "./vjp.ts";

const program = new Command("clp-dd")
  .description("Dataset distillation for frozen pre-trained vision encoders.")
  .version(version)
  .showSuggestionAfterError()
  .exitOverride()
  .configureHelp({ sortSubcommands: false, helpWidth: 80 });
for (const add of [
  addDemo,
  addDistill,
  addBaseline,
  addEvaluate,
  addCompare,
  addFeatures,
  addDatasets,
  addEncoders,
  addInspect,
  addProfile,
  addVjp,
])
  add(program);
for (const command of program.commands) command.exitOverride().configureHelp({ helpWidth: 80 });

// A reader that has seen enough (`| head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  // commander has said what is wrong; its own code 1 stands for wrong usage, which is 2 here.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = reportError(error, process.argv.includes("--debug"));
}
