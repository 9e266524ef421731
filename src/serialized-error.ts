import * as errors from "./errors.ts";

export interface SerializedError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
}

/** An error as it crosses from one thread or process to another: the class survives by its name. */
export function serializeError(error: unknown): SerializedError {
  return error instanceof Error
    ? { name: error.name, message: error.message, stack: error.stack }
    : { name: "Error", message: String(error), stack: undefined };
}

/** The error again, of its class where it is one of this project's. */
export function deserializeError({ name, message, stack }: SerializedError): Error {
  const known = (errors as unknown as Record<string, unknown>)[name];
  const error =
    typeof known === "function" ? (new (known as ErrorConstructor)(message) as Error) : new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}
