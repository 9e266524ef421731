/**
 * The errors a caller can cause or fix. Every message says what was given and what was expected; errors that an
 * application may want to give advice about carry the facts as data. `clp-dd` prints the message alone and exits with
 * `exitCode`. Anything else that is thrown is a defect in this project.
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

/** A node of a model, as errors name it. */
export interface NodeName {
  /** Its operator, with its domain unless that is the standard one. */
  readonly op: string;
  readonly name: string;
}

/** A function of a model that has no gradient because nodes on the way have no pullback rule. */
export class NoRuleError extends ModelError {
  override name = "NoRuleError";
  readonly nodes: readonly NodeName[];

  constructor(message: string, options: ErrorOptions & { readonly nodes?: readonly NodeName[] } = {}) {
    super(message, options);
    this.nodes = options.nodes ?? [];
  }
}

/** Inputs on which the differentiated outputs do not depend, or only through operators whose derivative is zero. */
export class UnreachedInputError extends ModelError {
  override name = "UnreachedInputError";
  readonly inputs: readonly string[];

  constructor(message: string, options: ErrorOptions & { readonly inputs?: readonly string[] } = {}) {
    super(message, options);
    this.inputs = options.inputs ?? [];
  }
}

/** Input shapes that a model cannot run at. */
export class ShapeError extends ModelError {
  override name = "ShapeError";
}

/** A model whose values would take more memory than it may have. */
export class MemoryError extends ModelError {
  override name = "MemoryError";
}

/** A device on which nothing runs here. Exit code 2. */
export class DeviceError extends UsageError {
  override name = "DeviceError";
  readonly device: string | undefined;

  constructor(message: string, options: ErrorOptions & { readonly device?: string } = {}) {
    super(message, options);
    this.device = options.device;
  }
}

/** A computation that left the finite numbers, or a system that is not positive definite. */
export class NumericalError extends ClpError {
  override name = "NumericalError";
}

/** The message of anything that was thrown, for wrapping into a ClpError with `cause`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
