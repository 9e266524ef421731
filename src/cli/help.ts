import type { HelpConfiguration, Option } from "commander";

/** Help of 80 columns, with choices and the default of every option behind its text. */
export const help: HelpConfiguration = {
  sortSubcommands: false,
  helpWidth: 80,
  optionDescription(option: Option): string {
    const usual = option.defaultValueDescription ?? option.defaultValue;
    const notes = [
      ...(option.argChoices ? [option.argChoices.join(", ")] : []),
      ...(usual === undefined || typeof usual === "boolean" ? [] : [`default: ${usual}`]),
    ];
    return notes.length === 0 ? option.description : `${option.description} (${notes.join("; ")})`;
  },
  argumentDescription(argument): string {
    const { argChoices, defaultValue, description } = argument;
    const notes = [
      ...(argChoices ? [argChoices.join(", ")] : []),
      ...(defaultValue === undefined ? [] : [`default: ${defaultValue}`]),
    ];
    return notes.length === 0 ? description : `${description} (${notes.join("; ")})`;
  },
};
