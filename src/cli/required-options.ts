import type { Command } from "commander";

/**
 * Required options are asked for after everything else on the command line is known to be right: commander alone
 * reports a missing one before a misspelled one, which is often the same.
 */
export function requireOptionsLast(command: Command): void {
  const required = command.options.filter((option) => option.mandatory);
  for (const option of required) option.mandatory = false;
  command.hook("preAction", () => {
    for (const option of required) {
      if (command.getOptionValue(option.attributeName()) !== undefined) continue;
      const code = "commander.missingMandatoryOptionValue";
      command.error(`error: required option '${option.flags}' not specified`, { code });
    }
  });
}
