#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import type { JobName } from "../jobs/job-table.ts";
import { withoutSecrets } from "../machines/address.ts";
import { version } from "../version.ts";
import { help } from "./help.ts";
import { reportError } from "./report-error.ts";
import { requireOptionsLast } from "./required-options.ts";
import { outliveOutput, print, printMessage } from "./terminal.ts";

/** A command's options, arguments and action, loaded when the command is named: all of them together take a second. */
interface Entry {
  readonly name: string;
  readonly summary: string;
  /** The job that it runs in the worker, which loads it meanwhile. */
  readonly job?: JobName;
  readonly load: () => Promise<(command: Command) => void>;
}

const entries: readonly Entry[] = [
  {
    name: "demo",
    summary: "distill the embedded emoji set with the embedded encoder",
    job: "distill",
    load: async () => (await import("./demo.ts")).addDemo,
  },
  {
    name: "app",
    summary: "gather, answer and distill in the browser, with nothing leaving it",
    load: async () => (await import("./app.ts")).addApp,
  },
  {
    name: "distill",
    summary: "distill a folder of labeled images into a few synthetic ones",
    job: "distill",
    load: async () => (await import("./distill.ts")).addDistill,
  },
  {
    name: "baseline",
    summary: "choose real images to compare distilled ones with",
    job: "baseline",
    load: async () => (await import("./baseline.ts")).addBaseline,
  },
  {
    name: "evaluate",
    summary: "measure sets of images on real test images, fairly",
    job: "evaluate.described",
    load: async () => (await import("./evaluate.ts")).addEvaluate,
  },
  {
    name: "check",
    summary: "find wrong labels, duplicates and leaks in a data set",
    job: "check.described",
    load: async () => (await import("./check.ts")).addCheck,
  },
  {
    name: "classify",
    summary: "name the classes of photos with the probe of a set",
    job: "classify",
    load: async () => (await import("./classify.ts")).addClassify,
  },
  {
    name: "push",
    summary: "publish a set or an exported classifier on the Hugging Face hub",
    load: async () => (await import("./push.ts")).addPush,
  },
  {
    name: "explain",
    summary: "show what in photos speaks for their class",
    job: "explain",
    load: async () => (await import("./explain.ts")).addExplain,
  },
  {
    name: "export",
    summary: "write a set as an ONNX classifier for transformers.js and other runtimes",
    job: "export",
    load: async () => (await import("./export.ts")).addExport,
  },
  {
    name: "compare",
    summary: "run a grid of methods, encoders, data sets and seeds, and write its tables",
    job: "compare",
    load: async () => (await import("./compare.ts")).addCompare,
  },
  {
    name: "features",
    summary: "compute and cache the features of a data set",
    job: "features",
    load: async () => (await import("./features.ts")).addFeatures,
  },
  {
    name: "runs",
    summary: "show the runs that several machines work on",
    load: async () => (await import("./runs.ts")).addRuns,
  },
  {
    name: "datasets",
    summary: "list the known data sets, and how their files must be laid out",
    load: async () => (await import("./datasets.ts")).addDatasets,
  },
  {
    name: "encoders",
    summary: "list the known encoders, and fetch them",
    load: async () => (await import("./encoders.ts")).addEncoders,
  },
  {
    name: "inspect",
    summary: "show what a model offers as an encoder",
    job: "inspect",
    load: async () => (await import("./inspect.ts")).addInspect,
  },
  {
    name: "profile",
    summary: "show where the time of a step goes",
    job: "profile",
    load: async () => (await import("./profile.ts")).addProfile,
  },
  {
    name: "vjp",
    summary: "write a model's gradient as ONNX files for any runtime",
    job: "vjp",
    load: async () => (await import("./vjp.ts")).addVjp,
  },
];

const program = new Command("clp-dd")
  .description("Dataset distillation for frozen pre-trained vision encoders.")
  .version(version)
  .showSuggestionAfterError()
  .exitOverride()
  .configureHelp(help)
  // What is wrong with an argument is said with the argument in it.
  .configureOutput({ writeOut: print, writeErr: printMessage });

// A password in the address of a server would be seen in the system's list of processes.
if (process.argv.some((argument) => withoutSecrets(argument) !== argument)) process.title = "clp-dd";

outliveOutput();

/** Ends the worker of a command that asked it for nothing. */
let end = () => {};
try {
  // The program's own options take no values: the first operand is the command, or `help` before it.
  const operands = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
  const named = operands[0] === "help" ? operands[1] : operands[0];
  const helps = process.argv.some((argument) => ["help", "--help", "-h"].includes(argument));
  for (const { name, summary, job, load } of entries) {
    const command = program.command(name).summary(summary);
    if (name !== named) continue;
    if (job !== undefined && !helps) {
      const { prepare, endWorker } = await import("../jobs/worker/client.ts");
      prepare(job);
      end = endWorker;
    }
    (await load())(command);
    requireOptionsLast(command);
  }
  await program.parseAsync();
} catch (error) {
  // commander has said what is wrong; its own code 1 stands for wrong usage, which is 2 here.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = reportError(error, process.argv.includes("--debug"));
} finally {
  end();
}
