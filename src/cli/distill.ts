import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { type EncoderSpec, parseEncoderSpec } from "../encoder/spec.ts";
import { UsageError } from "../errors.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { presetNames } from "../recipe/presets.ts";
import {
  addCommonOptions,
  addOptions,
  dataForms,
  type EncoderOptions,
  encoderNames,
  type Values,
} from "./options.ts";
import { commandLine, reportSet } from "./result.ts";
import { encoderParams, runJob } from "./run.ts";
import { addSettings, givenSettings } from "./setting-options.ts";

type DistillOptions = EncoderOptions &
  Values<"out" | "overwrite" | "resume" | "baselines" | "edits"> & {
    readonly preset?: string;
    readonly loss?: "ce" | "mse";
  };

/** Options of the distillation itself, shared by `distill` and `demo`. */
export function addRecipe(command: Command): void {
  command
    .addOption(
      new Option("--preset <name>", "a recipe; options beside it win over its settings")
        .choices(presetNames)
        .helpGroup("Objective:"),
    )
    .addOption(
      new Option("--loss <loss>", "outer loss of clp: cross-entropy, or squared error as --method clp-mse")
        .choices(["ce", "mse"])
        .helpGroup("Objective:"),
    );
  addSettings(command);
}

/** The configuration that the command line asks for. --loss alone also wins over a preset's objective. */
function configOf(command: Command, loss: DistillOptions["loss"]): Partial<DistillConfig> {
  const config = givenSettings(command);
  if (loss === undefined || (loss === "ce" && config.method !== undefined)) return config;
  return { ...config, method: loss === "mse" ? "clp-mse" : "clp" };
}

/** The parts of `--encoder A,B@96`. A file may have any name. */
const textsOf = (text: string): string[] => (existsSync(text) ? [text] : text.split(","));
const specOf = (text: string): EncoderSpec => (existsSync(text) ? { encoder: text } : parseEncoderSpec(text));

/** The size that `--encoder` says of its first encoder. */
export const sizeIn = (encoder: string): number | undefined => specOf(textsOf(encoder)[0]).size;

/**
 * The encoders that `--encoder A,B@96` names: the first one as the options of one encoder, and the texts of the others.
 * @throws UsageError where the first one and an option say different things
 */
function encodersOf(options: DistillOptions) {
  const [first, ...others] = textsOf(options.encoder);
  const { encoder, ...own } = specOf(first);
  for (const name of ["size", "feature"] as const) {
    if (own[name] === undefined || options[name] === undefined || own[name] === options[name]) continue;
    throw new UsageError(
      `--${name} ${options[name]} was given with --encoder ${first}. Leave one of the two out.`,
    );
  }
  const names = [encoder, ...others.map((text) => parseEncoderSpec(text).encoder)];
  return {
    ...encoderParams({ ...options, ...own, encoder }, names),
    ...(others.length > 0 ? { others } : {}),
  };
}

/** Runs a distillation with a progress display and prints what came of it. */
export async function distill(data: string, options: DistillOptions, command: Command): Promise<void> {
  const summary = await runJob(
    "distill",
    {
      ...encodersOf(options),
      data,
      config: configOf(command, options.loss),
      preset: options.preset,
      out: options.out,
      memoryBytes: options.memory,
      overwrite: options.overwrite,
      resume: options.resume,
      baselines: options.baselines,
      edits: options.edits,
      command: commandLine(),
    },
    options,
  );
  reportSet(summary, options);
}

export function addDistill(command: Command): void {
  command
    .usage("<dir> --out <folder> [options]")
    .description(
      "Distills the images of DIR (DIR/<class>/*.jpg, or DIR/train and DIR/test; or an embedded set: emoji, " +
        "emoji-subgroups) into --ipc images per class, on which a closed-form linear probe of the frozen " +
        "encoder classifies the real images. Features of the real images are computed once and cached.",
    )
    .argument("<dir>", dataForms);
  addRecipe(command);
  addOptions(command, encoderNames);
  addOptions(command, ["out", "overwrite", "resume", "baselines", "edits"], { out: { required: true } });
  addCommonOptions(command).addHelpText(
    "after",
    `
Defaults are those of --method clp. A preset or another method changes some of
them (docs/recipe.md); what is given here wins over both.

Examples:
  clp-dd distill photos --out d1                 one image per class
  clp-dd distill photos --out d10 --ipc 10       ten images per class
  clp-dd distill photos --out d2 --encoder clip.onnx    any encoder as .onnx
  clp-dd distill photos --out d1 --resume        after an interrupt or a crash
  clp-dd distill photos --out d3 --encoder a.onnx,b.onnx@96,a.onnx@96
                 for several encoders at once: each sees the images at its size
                 (--size, else its own); the images have the size of the first,
                 which --feature, --pool, --revision and the layouts are about

What to change first when the result is poor: --steps and --batch (more), --size
(the encoder's own resolution), --tau (higher serves gradient-trained heads),
then --normalize and --lambda.`,
  );
  command.action((dir: string, options: DistillOptions) => distill(dir, options, command));
}
