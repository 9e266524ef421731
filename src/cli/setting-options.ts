import { type Command, Option } from "commander";
import * as z from "zod";
import { DistillConfig, settingGroups } from "../recipe/config.ts";
import { withPreset } from "../recipe/presets.ts";
import { listOf, number } from "./parse.ts";

type Setting = keyof DistillConfig;

/** What the JSON schema of a setting says, with the command line's part of its metadata. */
interface Described {
  readonly type: "string" | "integer" | "number" | "boolean" | "array";
  readonly description: string;
  readonly group: (typeof settingGroups)[number];
  readonly option?: string;
  readonly preset?: string;
  readonly off?: string;
  readonly enum?: readonly string[];
  readonly items?: { readonly enum: readonly string[] };
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

// Metadata is part of a JSON schema; its type does not know of it.
const described = z.toJSONSchema(DistillConfig, { io: "input" }).properties as unknown as Readonly<
  Record<Setting, Described>
>;

/** What holds where nothing is given: the default recipe, which is more than the defaults of its settings. */
const standard = DistillConfig.parse(withPreset(undefined, {}));

const settings: readonly Setting[] = settingGroups.flatMap((group) =>
  (Object.keys(described) as Setting[]).filter((setting) => described[setting].group === group),
);

/** Options for every setting of a distillation: name, type, choices, default and text are those of the configuration. */
export function addSettings(command: Command): void {
  for (const option of settings.flatMap(optionsOf)) command.addOption(option);
}

/** Options for some settings, in a command that has other words for them. */
export function addSomeSettings(command: Command, texts: { readonly [setting in Setting]?: string }): void {
  for (const [setting, text] of Object.entries(texts)) {
    for (const option of optionsOf(setting as Setting)) {
      option.description = text;
      command.addOption(option);
    }
  }
}

/** What the command line gives explicitly; all else is left to presets and defaults. */
export function givenSettings(command: Command): Partial<DistillConfig> {
  const given = settings.flatMap((setting) => {
    const name = optionsOf(setting)[0].attributeName();
    return command.getOptionValueSource(name) === "cli" ? [[setting, command.getOptionValue(name)]] : [];
  });
  return Object.fromEntries(given);
}

function optionsOf(setting: Setting): Option[] {
  const { type, description, group, preset, off, ...rest } = described[setting];
  const usual = standard[setting];
  const name = setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const argument = { integer: " <n>", number: " <x>", boolean: "", string: " <name>", array: " <name,…>" }[
    type
  ];
  const option = new Option(rest.option ?? `--${name}${argument}`, description).helpGroup(`${group}:`);
  if (preset !== undefined) option.preset(preset);
  if (type === "boolean") {
    if (usual === true) option.description += " (default: on)";
    return off === undefined ? [option] : [option, new Option(`--no-${name}`, off).helpGroup(`${group}:`)];
  }
  if (rest.enum !== undefined) option.choices(rest.enum);
  else option.argParser<unknown>(rest.items ? listOf(rest.items.enum) : number(rest, type === "integer"));
  if (usual !== undefined) option.default(usual, Array.isArray(usual) ? usual.join(",") : String(usual));
  return [option];
}
