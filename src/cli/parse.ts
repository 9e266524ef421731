import { InvalidArgumentError } from "commander";

// Parsers for commander: the message completes "error: option '--x <n>' argument 'y' is invalid."

/** Bounds of a number, as JSON schema names them. */
interface Bounds {
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

/** A number within bounds. Those of a safe integer are not worth naming. */
export function number(bounds: Bounds, whole: boolean, other = ""): (value: string) => number {
  const least = bounds.minimum ?? Number.NEGATIVE_INFINITY;
  const above = bounds.exclusiveMinimum ?? Number.NEGATIVE_INFINITY;
  const most = bounds.maximum ?? Number.POSITIVE_INFINITY;
  const named = [
    ...(Number.isFinite(above) ? [whole ? `of at least ${above + 1}` : `above ${above}`] : []),
    ...(Number.isFinite(least) && least !== Number.MIN_SAFE_INTEGER ? [`of at least ${least}`] : []),
    ...(Number.isFinite(most) && most !== Number.MAX_SAFE_INTEGER ? [`of at most ${most}`] : []),
  ].join(" and ");
  const expected = `Expected ${whole ? "a whole number" : "a number"}${named === "" ? "" : ` ${named}`}${other}.`;
  return (value) => {
    const parsed = value.trim() === "" ? Number.NaN : Number(value);
    const fits = Number.isFinite(parsed) && parsed >= least && parsed > above && parsed <= most;
    if (!fits || (whole && !Number.isSafeInteger(parsed))) throw new InvalidArgumentError(expected);
    return parsed;
  };
}

/**
 * A whole number of at least `minimum`.
 * @param other what else the option takes, for the message
 */
export const integer = (minimum: number, other?: string): ((value: string) => number) =>
  number({ minimum }, true, other);

/** A path: an empty one would be the current folder, and is mostly a variable of a shell that is not set. */
export function path(value: string): string {
  if (value.trim() === "") throw new InvalidArgumentError("Expected a path; it is empty.");
  return value;
}

/** "a,b": some of `choices`. */
export function listOf<Choice extends string>(choices: readonly Choice[]): (value: string) => Choice[] {
  return (value) =>
    value.split(",").map((name) => {
      const choice = choices.find((known) => known === name);
      if (choice === undefined) throw new InvalidArgumentError(`Expected some of ${choices.join(", ")}.`);
      return choice;
    });
}

const units: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** "512M", "4G", "2.5GiB" or plain bytes. */
export function bytes(value: string): number {
  const match = /^([\d.]+)\s*([kmgt]?)(i?b)?$/i.exec(value.trim());
  const parsed = Number(match?.[1]);
  if (!match || !(parsed > 0)) throw new InvalidArgumentError("Expected a size such as 512M or 4G.");
  return Math.round(parsed * units[match[2]!.toLowerCase()]);
}

export function fraction(value: string): number {
  const number = Number(value);
  if (!(number >= 0 && number <= 1)) throw new InvalidArgumentError("Expected a number from 0 to 1.");
  return number;
}
