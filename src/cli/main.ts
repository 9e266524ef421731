#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { version } from "../version.ts";

/** The commands in the order of the help. A command is loaded where it is named, and all for what is about them all. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  demo: async () => (await import("./demo.ts")).addDemo,
  distill: async () => (await import("./distill.ts")).addDistill,
  baseline: async () => (await import("./baseline.ts")).addBaseline,
  evaluate: async () => (await import("./evaluate.ts")).addEvaluate,
  compare: async () => (await import("./compare.ts")).addCompare,
  features: async () => (await import("./features.ts")).addFeatures,
  datasets: async () => (await import("./datasets.ts")).addDatasets,
  encoders: async () => (await import("./encoders.ts")).addEncoders,
  inspect: async () => (await import("./inspect.ts")).addInspect,
  profile: async () => (await import("./profile.ts")).addProfile,
  vjp: async () => (await import("./vjp.ts")).addVjp,
};

function wanted(first: string | undefined): string[] {
  if (first === "--version" || first === "-V") return [];
  return first !== undefined && Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
}

const program = new Command("clp-dd")
  .description("Dataset distillation for frozen pre-trained vision encoders.")
  .version(version)
  .showSuggestionAfterError()
  .exitOverride()
  .configureHelp({ sortSubcommands: false, helpWidth: 80 });
for (const name of wanted(process.argv[2])) (await commands[name]!())(program);
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
  else process.exitCode = (await import("./run.ts")).reportError(error, process.argv.includes("--debug"));
}
