import { ClpError } from "../errors.ts";
import { inFlags } from "./flags.ts";

/** Says what went wrong, without a stack trace unless asked for, and returns the exit code. */
export function reportError(error: unknown, debug: boolean): number {
  if (error instanceof ClpError) {
    process.stderr.write(`${debug ? error.stack : `clp-dd: ${inFlags(error.message)}`}\n`);
    return error.exitCode;
  }
  const shown = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  process.stderr.write(
    `clp-dd: ${shown}\n${debug ? "" : "This looks like a defect of clp-dd: run again with --debug and report it.\n"}`,
  );
  return 1;
}
