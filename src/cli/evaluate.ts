import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import { type EncoderSpec, parseEncoderSpec } from "../encoder/spec.ts";
import { ClpError, UsageError } from "../errors.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { evaluationHtml } from "../evaluate/page.ts";
import { type ProbeName, probeNames, rankingOf } from "../evaluate/protocol.ts";
import { evaluationTables, markdownTable } from "../evaluate/tables.ts";
import {
  addCommonOptions,
  addOptions,
  addRequired,
  dataForms,
  type EncoderOptions,
  encoderNames,
  ownOption,
  type Values,
} from "./options.ts";
import { requireWritableFile, unwritten } from "./output-file.ts";
import { integer, listOf, number } from "./parse.ts";
import { encoderParams, runJob } from "./run.ts";
import { describeTable } from "./table.ts";
import { print, printJson } from "./terminal.ts";

interface EvaluateOptions extends EncoderOptions, Values<"edits"> {
  readonly data: string;
  readonly probes?: readonly ProbeName[];
  readonly seeds: number;
  readonly epochs: number;
  readonly augmentation: boolean;
  readonly evalDraws: number | "each epoch";
  readonly references: boolean;
  readonly fullEpochs?: number;
  readonly fullSeeds?: number;
  readonly markdown?: string;
  readonly html?: string;
}

/** More of either only take memory and days. */
const mostSeeds = 1000;
const mostDraws = 10_000;
const seedCount = number({ minimum: 1, maximum: mostSeeds }, true);

const drawsOf = (value: string): number | "each epoch" =>
  value === "epoch" ? "each epoch" : number({ minimum: 1, maximum: mostDraws }, true, ", or epoch")(value);

const firstSeeds = (count: number): number[] => Array.from({ length: count }, (_, seed) => seed);

export function addEvaluate(command: Command): void {
  const protocol = "Evaluation:";
  command
    .usage("<out...> --data <dir> [options]")
    .description(
      "Measures one or more sets on the test images of --data by three probes: the closed form, LGM's " +
        "gradient-trained head, and that head with a tuned learning rate, with and without evaluation " +
        "augmentation, beside the full data and random images under the same recipes. Under another " +
        "--encoder than a set was distilled with, its exact pixels are resized and probes are trained anew.",
    )
    .argument("<out...>", "folders that `clp-dd distill` or `clp-dd baseline` wrote");
  addRequired(command, ownOption("--data <dir>", dataForms, "Data:"));
  command
    .addOption(
      ownOption("--probes <names>", `some of ${probeNames.join(",")} (default: all)`, protocol).argParser(
        listOf(probeNames),
      ),
    )
    .addOption(
      ownOption("--seeds <n>", "seeds to take mean and standard deviation over", protocol)
        .argParser(seedCount)
        .default(5),
    )
    .addOption(ownOption("--epochs <n>", "epochs of a head", protocol).argParser(integer(1)).default(1000))
    .addOption(ownOption("--no-augmentation", "only on images as they are", protocol))
    .addOption(
      ownOption(
        "--eval-draws <n>",
        "augmented draws of each image and seed, or `epoch`: anew each epoch",
        protocol,
      )
        .argParser(drawsOf)
        .default(20),
    )
    .addOption(ownOption("--no-references", "do not measure full data and random images", protocol));
  addOptions(command, ["edits"]);
  command
    .addOption(
      ownOption(
        "--full-epochs <n>",
        "epochs of a head on the full data (default: --epochs)",
        protocol,
      ).argParser(integer(1)),
    )
    .addOption(
      ownOption(
        "--full-seeds <n>",
        "seeds of the heads on the full data (default: --seeds)",
        protocol,
      ).argParser(seedCount),
    )
    .addOption(ownOption("--markdown <file>", "write the tables as Markdown", "Output:"))
    .addOption(
      ownOption("--html <file>", "write the tables, accuracy by class and confusions as a page", "Output:"),
    );
  addOptions(command, encoderNames, {
    encoder: { says: "each set's own" },
    size: { says: "that of each set" },
    resize: { says: "as for the sets" },
  });
  addCommonOptions(command).addHelpText(
    "after",
    `
--encoder takes several, with commas: NAME, NAME@SIZE or NAME@SIZE#TENSOR.

Examples:
  clp-dd evaluate d1 --data photos --probes closed-form    takes seconds
  clp-dd evaluate d1 --data photos --markdown results.md   the whole protocol
  clp-dd evaluate a b --data photos --encoder one@128,other.onnx@128`,
  );
  command.action(async (artifacts: string[], options: EvaluateOptions) => {
    const { markdown, html } = options;
    if (markdown !== undefined) await requireWritableFile("--markdown", markdown);
    if (html !== undefined) await requireWritableFile("--html", html);
    const given = (name: string) => command.getOptionValueSource(name) === "cli";
    const encoders = given("encoder") ? options.encoder.split(",") : [];
    const specs = encoders.map(parseEncoderSpec);
    for (const option of ["size", "feature"] as const) requireRoomFor(option, specs, options);
    const { encoder: _, ...params } = encoderParams(
      options,
      specs.map((spec) => spec.encoder),
    );
    const { results, classes } = await runJob(
      "evaluate.described",
      {
        ...params,
        // The same set twice is measured once.
        artifacts: [...new Set(artifacts.map((folder) => resolve(folder)))],
        data: options.data,
        encoders,
        probes: options.probes,
        seeds: firstSeeds(options.seeds),
        epochs: options.epochs,
        draws: options.evalDraws,
        augmentation: options.augmentation === false ? "off" : "both",
        references: options.references,
        edits: options.edits,
        fullEpochs: options.fullEpochs,
        fullSeeds: options.fullSeeds === undefined ? undefined : firstSeeds(options.fullSeeds),
      },
      options,
    );
    const tables = evaluationTables(results);
    for (const table of tables) print(`\n${describeTable(table)}\n`);
    const failures = await unwritten({
      ...(markdown === undefined
        ? {}
        : { [markdown]: writeFile(markdown, tables.map(markdownTable).join("\n")) }),
      ...(html === undefined ? {} : { [html]: writeFile(html, evaluationHtml(tables, results, classes)) }),
    });
    if (options.json) printJson(results.map(evaluationJson));
    if (failures.length > 0) throw new ClpError(failures.join("\n"));
  });
}

/** Throws UsageError for --size or --feature where each of the encoders is given with its own. */
function requireRoomFor(
  option: "size" | "feature",
  specs: readonly EncoderSpec[],
  options: EvaluateOptions,
): void {
  const asked = options[option];
  if (asked === undefined || specs.length === 0 || specs.some((spec) => spec[option] === undefined)) return;
  throw new UsageError(
    `--${option} ${asked} was given, but each encoder of --encoder ${options.encoder} has its own ${option}. Leave ` +
      "one of the two out.",
  );
}

/** What `--json` prints of an evaluation: `top1` of the closed form first, then every probe with its figures. */
function evaluationJson(result: Evaluation) {
  const { probes, full, random, ...rest } = result;
  const closedForm = probes.find((p) => p.probe === "closed-form" && !p.augmented);
  const brief = (list: Evaluation["full"]) =>
    list.map(({ perClass: _, confusion: __, ...figures }) => figures);
  return {
    ...(closedForm ? { top1: closedForm.top1.mean } : {}),
    ...rest,
    probes: probes.map((probe) => ({ ...probe, ...rankingOf(probe, full, random) })),
    full: brief(full),
    random: brief(random),
  };
}
