import { ClpError, messageOf } from "../errors.ts";
import { systemReason } from "../files/system-reason.ts";
import { inFlags } from "./flags.ts";
import { printMessage } from "./terminal.ts";

/** Says what went wrong, without a stack trace unless asked for, and returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  const known = error instanceof ClpError;
  // What a limit of the system broke is no defect, wherever it was met.
  const reason = known ? undefined : systemReason(error);
  const message = known ? inFlags(error.message) : reason === undefined ? messageOf(error) : sentence(reason);
  printMessage(debug && error instanceof Error ? `${error.stack}\n` : `clp-dd: ${message}\n`);
  if (known) return error.exitCode;
  if (reason === undefined && !debug)
    printMessage("This looks like a defect of clp-dd: run again with --debug and report it.\n");
  return 1;
}

const sentence = (words: string): string => `${words[0]!.toUpperCase()}${words.slice(1)}.`;
