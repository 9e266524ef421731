import { type Command, InvalidArgumentError, Option } from "commander";
import { defaultMaxBad } from "../data/params.ts";
import { asDtype } from "../encoder/load/choose-onnx.ts";
import { pools } from "../encoder/model.ts";
import { grays, layouts } from "../encoder/model-form.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import { precisions } from "../onnx-vjp/graph/runtime.ts";

/** Parsers for commander: the message completes "error: option '--x <n>' argument 'y' is invalid." */
export function integer(
  minimum: number,
  expected = `a whole number of at least ${minimum}`,
): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < minimum) {
      throw new InvalidArgumentError(`Expected ${expected}.`);
    }
    return number;
  };
}

export function positive(value: string): number {
  const number = Number(value);
  if (!(number > 0 && Number.isFinite(number))) throw new InvalidArgumentError("Expected a number above 0.");
  return number;
}

export function atLeastZero(value: string): number {
  const number = Number(value);
  if (!(number >= 0 && Number.isFinite(number))) throw new InvalidArgumentError("Expected 0 or more.");
  return number;
}

export function fraction(value: string): number {
  const number = Number(value);
  if (!(number >= 0 && number <= 1)) throw new InvalidArgumentError("Expected a number from 0 to 1.");
  return number;
}

/** "a,b": some of `choices`. */
export function listOf<Choice extends string>(choices: readonly Choice[]): (value: string) => Choice[] {
  return (value) =>
    value.split(",").map((name) => {
      const choice = choices.find((known) => known === name);
      if (choice === undefined) throw new InvalidArgumentError(`Expected some of ${choices.join(", ")}.`);
      return choice;
    });
}

const units: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** "512M", "4G", "2.5GiB" or plain bytes. */
export function bytes(value: string): number {
  const match = /^([\d.]+)\s*([kmgt]?)(i?b)?$/i.exec(value.trim());
  const number = Number(match?.[1]);
  if (!match || !(number > 0)) throw new InvalidArgumentError("Expected a size such as 512M or 4G.");
  return Math.round(number * units[match[2]!.toLowerCase()]!);
}

/** What can be given for an encoder. */
export const encoderForms =
  "a name (see `clp-dd encoders`), owner/name of the hub, a folder or an .onnx file";

/** What the help says of what holds where an option is not given. */
interface Defaults {
  readonly encoder?: string;
  readonly size: string;
  readonly resize: string;
}
const usualDefaults: Defaults = { size: "the encoder's own", resize: "the encoder's own ratio" };

/** Which encoder, how it is run, and where features of real images go. */
export function encoderOptions(command: Command, defaults = usualDefaults): Command {
  command.addOption(
    new Option("--encoder <name|path>", `frozen encoder: ${encoderForms}`).default(
      defaultEncoder,
      defaults.encoder,
    ),
  );
  return runOptions(command, defaults)
    .option(
      "--cache-dir <dir>",
      "where features are cached (default: $CLP_DD_CACHE, else the user's cache folder)",
    )
    .option("--max-bad <n>", "unreadable images to skip before giving up", integer(0), defaultMaxBad);
}

/** What products are computed in. */
export const precisionOption = (): Option =>
  new Option(
    "--precision <type>",
    "what a card computes the encoder's products in (default: float32)",
  ).choices(precisions);

/** Whether sets are measured after edits too: shared by every command that measures one. */
export const editsOptions = (command: Command): Command =>
  command
    .option(
      "--edits",
      "also measure the images after edits: JPEG, mirrored, shifted, resized, noise, …",
      true,
    )
    .option("--no-edits", "do not measure them after edits");

/** How an encoder is run: shared by every command that runs one. */
export function runOptions(command: Command, { size, resize } = usualDefaults): Command {
  return formOptions(hubOptions(command))
    .option(
      "--feature <tensor>",
      "tensor to take as the feature, if not the obvious one (see `clp-dd inspect`)",
    )
    .addOption(new Option("--pool <how>", "how tokens become one feature vector").choices(pools))
    .option(
      "--size <px>",
      `side of the images the encoder sees and that are distilled (default: ${size})`,
      integer(8),
    )
    .option("--resize <px>", `shorter edge before the crop to --size (default: ${resize})`, integer(8))
    .addOption(
      new Option("--device <device>", "where the encoder runs")
        .choices(["cpu", "webgpu", "cuda"])
        .default("cpu"),
    )
    .addOption(precisionOption())
    .option("--threads <n>", "threads inside an operator (default: one per core)", integer(1))
    .option(
      "--memory <size>",
      "memory for intermediates, e.g. 512M or 4G (default: a quarter of the machine's)",
      bytes,
    );
}

/** What a model's file may leave unsaid: how its images and maps are laid out, and how colors become gray for it. */
export function formOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--input-layout <layout>",
        "axes of the model's images: channels before height and width, or behind (default: as its graph has it)",
      ).choices(layouts),
    )
    .addOption(
      new Option(
        "--feature-layout <layout>",
        "axes of a feature map (default: as the model's graph has it)",
      ).choices(layouts),
    )
    .addOption(
      new Option("--gray <how>", "how colors become gray for a model of gray images").choices(grays),
    );
}

/** Which files of a hub repository are taken, and where they are kept. */
export function hubOptions(command: Command): Command {
  return command
    .option("--revision <name>", "branch, tag or commit of a hub repository (default: main)")
    .addOption(
      new Option("--dtype <type>", "which ONNX file of a repository: fp32 or fp16 (default: fp32)").argParser(
        asDtype,
      ),
    )
    .option(
      "--hub-cache <dir>",
      "where encoders of the hub are kept (default: $HF_HUB_CACHE, $HF_HOME/hub, else the user's cache)",
    );
}

/** Options that every command has. */
export function commonOptions(command: Command): Command {
  return command
    .option("--json", "end with one line of JSON on standard output")
    .option("--quiet", "no progress and no notes")
    .option("--debug", "show stack traces");
}
