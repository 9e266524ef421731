import { type Command, Option } from "commander";
import { defaultMaxBad } from "../data/data-params.ts";
import { type Pool, pools } from "../encoder/encoder-model.ts";
import { asDtype, type Dtype } from "../encoder/load/choose-onnx.ts";
import { type Gray, grays, type Layout, layouts } from "../encoder/model-form.ts";
import { defaultEncoder } from "../encoder/registry.ts";
import { type Device, devices, type Precision, precisions } from "../onnx-vjp/graph/device.ts";
import { bytes, integer, path } from "./parse.ts";

/** What can be given for an encoder. */
export const encoderForms =
  "a name (see `clp-dd encoders`), owner/name of the hub, a folder or an .onnx file";

/** What can be given for a data set. */
export const dataForms = "folder of images, NAME:PATH (see `clp-dd datasets`), or an embedded set";

/** An option that several commands have. Its value is of type `Value`, undefined included where it has no default. */
interface Declared<Value> {
  readonly flags: string;
  readonly text: string;
  readonly group: string;
  readonly choices?: readonly Value[];
  readonly parse?: (text: string) => Value;
  /** Taken where the option is not given. */
  readonly usual?: Value;
  /** What the help says of the default, if not `usual` itself. */
  readonly says?: string;
}

const declared = <Value>(option: Declared<Value>): Declared<Value | undefined> => option;
const withDefault = <Value>(option: Declared<Value> & { readonly usual: Value }): Declared<Value> => option;

const hub = "Hugging Face hub:";
const encoder = "Encoder:";
const run = "Running:";
const data = "Data:";
const evaluation = "Evaluation:";
const output = "Output:";

/** Every option that several commands have, once. */
const table = {
  encoder: withDefault<string>({
    group: encoder,
    flags: "--encoder <name|path>",
    usual: defaultEncoder,
    text: `frozen encoder: ${encoderForms}`,
  }),
  feature: declared<string>({
    group: encoder,
    flags: "--feature <tensor>",
    says: "the one that `clp-dd inspect` marks",
    text: "tensor to take as the feature",
  }),
  pool: declared<Pool>({
    group: encoder,
    flags: "--pool <how>",
    choices: pools,
    text: "how tokens become one feature vector",
  }),
  size: declared<number>({
    group: encoder,
    flags: "--size <px>",
    parse: integer(8),
    says: "the encoder's own",
    text: "side of the images that the encoder sees and that are distilled",
  }),
  resize: declared<number>({
    group: encoder,
    flags: "--resize <px>",
    parse: integer(8),
    says: "the encoder's own ratio",
    text: "shorter edge before the crop to --size",
  }),
  inputLayout: declared<Layout>({
    group: encoder,
    flags: "--input-layout <layout>",
    choices: layouts,
    says: "as its graph has it",
    text: "axes of the model's images: channels before height and width, or behind",
  }),
  featureLayout: declared<Layout>({
    group: encoder,
    flags: "--feature-layout <layout>",
    choices: layouts,
    says: "as its graph has it",
    text: "axes of a feature map",
  }),
  gray: declared<Gray>({
    group: encoder,
    flags: "--gray <how>",
    choices: grays,
    text: "how colors become gray for a model of gray images",
  }),
  revision: declared<string>({
    group: hub,
    flags: "--revision <name>",
    says: "main",
    text: "branch, tag or commit of a hub repository",
  }),
  dtype: declared<Dtype>({
    group: hub,
    flags: "--dtype <type>",
    parse: asDtype,
    says: "fp32",
    text: "which ONNX file of a repository is taken: fp32 or fp16",
  }),
  hubCache: declared<string>({
    group: hub,
    flags: "--hub-cache <dir>",
    parse: path,
    says: "$HF_HUB_CACHE, $HF_HOME/hub, else the user's cache",
    text: "where encoders of the hub are kept",
  }),
  device: withDefault<Device>({
    group: run,
    flags: "--device <device>",
    choices: devices,
    usual: "cpu",
    text: "where the encoder runs",
  }),
  precision: declared<Precision>({
    group: run,
    flags: "--precision <type>",
    choices: precisions,
    says: "float32",
    text: "type that a GPU computes the encoder's matrix products in",
  }),
  threads: declared<number>({
    group: run,
    flags: "--threads <n>",
    parse: integer(1),
    says: "one per core",
    text: "processes with one thread each that share the images out; on a GPU, threads",
  }),
  memory: declared<number>({
    group: run,
    flags: "--memory <size>",
    parse: bytes,
    says: "a quarter of the machine's",
    text: "memory for intermediates, such as 512M or 4G",
  }),
  cacheDir: declared<string>({
    group: data,
    flags: "--cache-dir <dir>",
    parse: path,
    says: "$CLP_DD_CACHE, else the user's cache",
    text: "where features are cached",
  }),
  maxBad: withDefault<number>({
    group: data,
    flags: "--max-bad <n>",
    parse: integer(0),
    usual: defaultMaxBad,
    text: "unreadable images to skip before giving up",
  }),
  /** Required, or with a default: the command says. */
  out: declared<string>({
    group: output,
    flags: "--out <folder>",
    parse: path,
    text: "where the result goes; must be empty or not exist",
  }),
  overwrite: declared<boolean>({
    group: output,
    flags: "--overwrite",
    text: "replace the set that is at --out, or the checkpoint of a stopped run",
  }),
  resume: declared<boolean>({
    group: output,
    flags: "--resume",
    text: "resume from the checkpoint of a stopped run with the same settings",
  }),
  baselines: withDefault<boolean>({
    group: evaluation,
    flags: "--no-baselines",
    usual: true,
    text: "do not measure full data, centroid and random images beside it",
  }),
  edits: withDefault<boolean>({
    group: evaluation,
    flags: "--no-edits",
    usual: true,
    text: "do not measure the images after edits: JPEG, mirrored, shifted, resized, noise, …",
  }),
  json: declared<boolean>({
    group: output,
    flags: "--json",
    text: "end with one line of JSON on standard output",
  }),
  quiet: declared<boolean>({ group: output, flags: "--quiet", text: "no progress and no notes" }),
  debug: declared<boolean>({ group: output, flags: "--debug", text: "show stack traces" }),
};

type Name = keyof typeof table;

/** What commander gives for some of the options. */
export type Values<Names extends Name> = {
  readonly [name in Names]: (typeof table)[name] extends Declared<infer Value>
    ? name extends "out"
      ? string
      : Value
    : never;
};
/** The same, of options that a command may lack. */
export type CommonOptions = Partial<Values<(typeof commonNames)[number]>>;
export type HubOptions = Partial<Values<(typeof hubNames)[number]>>;
export type FormOptions = Partial<Values<(typeof formNames)[number]>>;
export type RunOptions = CommonOptions & HubOptions & Values<(typeof runNames)[number]>;
export type EncoderOptions = RunOptions & Values<"encoder" | (typeof dataNames)[number]>;

/** Options that every command has. */
const commonNames = ["json", "quiet", "debug"] as const satisfies readonly Name[];
/** Which files of a hub repository are taken, and where they are kept. */
export const hubNames = ["revision", "dtype", "hubCache"] as const satisfies readonly Name[];
/** What a model's file may leave unsaid. */
export const formNames = ["inputLayout", "featureLayout", "gray"] as const satisfies readonly Name[];
/** How an encoder is run. */
export const runNames = [
  ...(["feature", "pool", "size", "resize"] as const),
  ...formNames,
  ...(["device", "precision", "threads", "memory"] as const),
] as const satisfies readonly Name[];
/** Where features of real images go, and how many images may be missing. */
export const dataNames = ["cacheDir", "maxBad"] as const satisfies readonly Name[];
/** Everything about running an encoder on a data set. */
export const encoderNames = [
  "encoder",
  ...runNames,
  ...hubNames,
  ...dataNames,
] as const satisfies readonly Name[];

/** What a command says otherwise of an option. */
export interface Wording {
  readonly text?: string;
  /** What holds where the option is not given. */
  readonly says?: string;
  readonly usual?: string | number;
  readonly required?: boolean;
}

/** Adds options of the table to a command. */
export function addOptions(
  command: Command,
  names: readonly Name[],
  wording: { readonly [name in Name]?: Wording } = {},
): Command {
  for (const name of names) {
    const option = optionOf(name, wording[name]);
    if (wording[name]?.required) addRequired(command, option);
    else command.addOption(option);
  }
  return command;
}

/** Adds the options that every command has, help among them. */
export function addCommonOptions(
  command: Command,
  wording: { readonly [name in Name]?: Wording } = {},
): Command {
  return addOptions(command, commonNames, wording).addHelpOption(
    new Option("-h, --help", "show this help").helpGroup(output),
  );
}

/**
 * Adds an option that must be given. commander's own check comes before that for unknown options, so that a misspelled
 * option would be reported as a missing one.
 */
export function addRequired(command: Command, option: Option): void {
  option.description += " (required)";
  command.addOption(option).hook("preAction", () => {
    if (command.getOptionValue(option.attributeName()) !== undefined) return;
    command.error(`error: required option '${option.flags}' not specified`);
  });
}

/** An option of one command alone. */
export const ownOption = (flags: string, text: string, group: string): Option =>
  new Option(flags, text).helpGroup(group);

function optionOf(name: Name, wording: Wording = {}): Option {
  // The types of values differ from entry to entry; each entry's agree with one another.
  const { flags, text, group, choices, parse, says, ...own } = table[name] as Declared<unknown>;
  const usual = wording.usual ?? own.usual;
  const option = new Option(flags, wording.text ?? text).helpGroup(group);
  if (choices !== undefined) option.choices(choices as readonly string[]);
  if (parse !== undefined) option.argParser(parse);
  // A flag is given or not: help that says so would say nothing.
  if (typeof usual !== "boolean") option.default(usual, wording.says ?? says);
  return option;
}
