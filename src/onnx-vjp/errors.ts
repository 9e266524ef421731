/**
 * The errors a person at the keyboard can cause or mend. Every message says what was given, what was
 * expected and what to do; `clp-dd` prints the message alone and exits with `exitCode`.
 * Anything else that is thrown is a defect in this project.
 */
export class ClpError extends Error {
  /** Process exit code the command line uses: 1 for bad input, 2 for wrong usage, 130 for an interrupt. */
  readonly exitCode: number = 1;
  override name = "ClpError";
}

/** A wrong option, argument or configuration value. Exit code 2. */
export class UsageError extends ClpError {
  override readonly exitCode = 2;
  override name = "UsageError";
}

/** A model file that cannot be read, run or differentiated as given. */
export class ModelError extends ClpError {
  override name = "ModelError";
}

/** A computation that left the finite numbers, or a system that is not positive definite. */
export class NumericalError extends ClpError {
  override name = "NumericalError";
}

/** The message of anything that was thrown, for wrapping into a ClpError with `cause`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
