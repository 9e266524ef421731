import { printable, printableJson } from "../printable.ts";

/** Standard output that could not be written: what the exit code says. */
let lost: string | undefined;

/**
 * Prints results to standard output. Whatever names are in the text, it holds no escape sequences: nothing but this file
 * and the progress bar writes to a terminal.
 */
export function print(text: string): void {
  process.stdout.write(printable(text));
}

/** Prints one line of JSON. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(value)}\n`);
}

/** Prints a message to standard error. */
export function printMessage(text: string): void {
  process.stderr.write(printable(text));
}

/**
 * Keeps work going where what it says cannot be written (a full disk behind `2>> log`, `| head -1`, `/dev/full`): saying
 * it is given up. Results that standard output did not take end in an error, unless its reader has seen enough.
 */
export function outliveOutput(): void {
  process.stderr.on("error", () => {});
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return;
    lost ??= error.message;
    process.exitCode ||= 1;
    printMessage(`clp-dd: Standard output could not be written (${lost}). What was to be printed is lost.\n`);
  });
}
