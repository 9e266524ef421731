import { join } from "node:path";
import { DataError, messageOf } from "../errors.ts";
import { readBounded } from "./read-bounded.ts";

/** The longest list of a data set that is known, ImageNet-21K's, has a tenth of that. */
const mostTextBytes = 2 ** 28;

/** A text file of a data set. Throws DataError when it cannot be read. */
export async function readText(root: string, file: string): Promise<string> {
  try {
    return (await readBounded(join(root, file), mostTextBytes)).toString("utf8").replace(/^\uFEFF/, "");
  } catch (cause) {
    throw new DataError(`${join(root, file)} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** Its lines without blank ones, each with its number from 1. */
export async function readLines(root: string, file: string): Promise<{ text: string; where: string }[]> {
  const lines = (await readText(root, file)).split(/\r?\n/);
  return lines.flatMap((text, i) =>
    text.trim() === "" ? [] : [{ text: text.trim(), where: `${join(root, file)}, line ${i + 1}` }],
  );
}

/** Lines of `<number> <value>`, as CUB writes its tables. Throws DataError at a line of another form. */
export async function readNumbered(root: string, file: string): Promise<Map<number, string>> {
  const table = new Map<number, string>();
  for (const { text, where } of await readLines(root, file)) {
    const match = /^(\d+)\s+(.+)$/.exec(text);
    if (!match) throw new DataError(`${where}: expected a number and a value, got "${shown(text)}".`);
    if (table.has(Number(match[1]))) throw new DataError(`${where}: ${match[1]} is there twice.`);
    table.set(Number(match[1]), match[2]);
  }
  return table;
}

/** A row of a CSV file by its column names. */
export interface CsvRow {
  readonly where: string;
  /** Throws DataError when the row is too short. */
  get(column: string): string;
}

/**
 * Rows of a CSV file with a header line; fields may be quoted (RFC 4180), but hold no line breaks.
 * Throws DataError when a column of `columns` is missing.
 */
export async function readCsv(root: string, file: string, columns: readonly string[]): Promise<CsvRow[]> {
  const [head, ...rows] = await readLines(root, file);
  const names = head === undefined ? [] : fields(head.text);
  const missing = columns.filter((column) => !names.includes(column));
  if (missing.length > 0) {
    throw new DataError(
      `${join(root, file)} has the columns ${names.join(", ") || "(none)"}; ${missing.join(" and ")} must be among them.`,
    );
  }
  return rows.map(({ text, where }) => {
    const values = fields(text);
    return {
      where,
      get(column) {
        const value = values[names.indexOf(column)];
        if (value === undefined)
          throw new DataError(`${where}: ${values.length} fields, no ${column} among them.`);
        return value;
      },
    };
  });
}

function fields(line: string): string[] {
  const out: string[] = [];
  for (const match of line.matchAll(/(?<=^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) {
    out.push(match[1] === undefined ? match[2] : match[1].replaceAll('""', '"'));
  }
  return out;
}

/**
 * A path from a manifest or archive, to be taken under its folder: with `/`, without `.` parts.
 * Throws DataError when it could lead out of the folder.
 */
export function safePath(path: string, where: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const leaves = /^[/~]|^[a-z]:|[\\\0]/i.test(path) || parts.includes("..");
  if (leaves || parts.length === 0) {
    throw new DataError(
      `${where}: the path "${shown(path)}" leads out of the data set's folder. Every path must be relative and ` +
        "stay inside; nothing was read.",
    );
  }
  return parts.join("/");
}

/** A whole number from text in [least, end). Throws DataError saying what it counts. */
export function wholeNumber(text: string, least: number, end: number, what: string, where: string): number {
  const number = /^\s*[-+]?\d+(\.0*)?\s*$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number < end) return number;
  throw new DataError(`${where}: the ${what} "${shown(text)}" is not one of ${least} to ${end - 1}.`);
}

/** Text of a file, fit for a message. */
export function shown(text: string): string {
  const clean = text.replace(/\p{Cc}+/gu, "?");
  return clean.length > 80 ? `${clean.slice(0, 79)}…` : clean;
}
