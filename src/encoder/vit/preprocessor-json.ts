import type * as z from "zod";
import { ModelError, messageOf } from "../../errors.ts";

/** A text as JSON. @throws ModelError naming the file `where` */
export function jsonOf(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ModelError(`${where} is not valid JSON (${messageOf(error)}). Download or copy it again.`, {
      cause: error,
    });
  }
}

/**
 * What a schema makes of it.
 * @param kind what the file should be like
 * @throws ModelError naming the file and what is wrong in it, with the values that were given
 */
export function parsed<T>(
  schema: z.ZodType<T>,
  json: unknown,
  where: string,
  kind = "configurations of preprocessing",
): T {
  const result = schema.safeParse(json, { reportInput: true });
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    (issue) => `${issue.path.join(".") || "all of it"} is ${brief(issue.input)} (${issue.message})`,
  );
  throw new ModelError(
    `${where} is not as ${kind} have it: ${problems.slice(0, 5).join("; ")}. Download or copy it again.`,
  );
}

/** A value in a few characters. */
function brief(value: unknown): string {
  const text = value === undefined ? "not there" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** One value for each channel. */
export const triple = (value: number | readonly number[]): [number, number, number] =>
  typeof value === "number" ? [value, value, value] : [value[0], value[1], value[2]];
