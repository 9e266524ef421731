import type { Table } from "../evaluate/tables.ts";
import { isFigures } from "../format.ts";
import { printable } from "../printable.ts";
import { displayWidth, wordsOf, wrapText } from "./width.ts";

export interface TableOptions {
  /** By default, columns of figures are aligned right and others left. */
  readonly align?: readonly ("left" | "right")[];
  /** Columns of the terminal. By default 80. */
  readonly width?: number;
  /** Columns whose titles give the same stay in one table where a table is split and they fit. */
  readonly section?: (title: string) => unknown;
}

interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  readonly align: "left" | "right";
  /** Figures are read whole: their cells are not wrapped. */
  readonly figures: boolean;
}

const gap = "  ";
/** A longer word may be broken, so that it does not take the place of other columns. */
const longWord = 24;
/** No column is made narrower than this. */
const leastWidth = 8;

/**
 * Rows of text as an aligned table with a line under the head. What is too wide is wrapped between words; where that
 * does not do, columns go into further tables below, each with the names of the rows: the first columns, as many as
 * identify the rows. Only long words are broken. Every character is kept. Lines have no trailing spaces and there is
 * no newline at the end.
 */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const columns = head.map((title, c): Column => {
    const cells = rows.map((row) => oneLine(row[c] ?? ""));
    const figures = isFigures(cells);
    return {
      title: oneLine(title),
      cells,
      align: options.align?.[c] ?? (figures ? "right" : "left"),
      figures,
    };
  });
  return parts(columns, options)
    .map((part) => render(part, options.width ?? 80))
    .join("\n\n");
}

/** A table with its title above and its notes below, as the terminal shows it. */
export function describeTable({ title, head, rows, notes }: Table, options: TableOptions = {}): string {
  const sentences = notes.flatMap((note) => wrapText(note, options.width ?? 80));
  return [
    ...wrapText(title, options.width ?? 80),
    "",
    formatTable(head, rows, options),
    ...(sentences.length > 0 ? ["", ...sentences] : []),
  ].join("\n");
}

/** The columns in as few tables as hold them with their words whole, the rows' names first in each. */
function parts(columns: readonly Column[], { width = 80, section = () => 0 }: TableOptions): Column[][] {
  const fits = (part: readonly Column[]) => widthOf(part.map(leastOf)) <= width;
  if (fits(columns)) return [[...columns]];
  const named = columnsThatName(columns);
  const names = columns.slice(0, named);
  const sections: Column[][] = [];
  for (const column of columns.slice(named)) {
    const [last] = sections.at(-1) ?? [];
    if (last !== undefined && section(last.title) === section(column.title)) sections.at(-1)!.push(column);
    else sections.push([column]);
  }
  const found: Column[][] = [];
  const add = (more: readonly Column[]): boolean => {
    const joined = [...(found.at(-1) ?? names), ...more];
    if (found.length > 0 && fits(joined)) found[found.length - 1] = joined;
    else if (fits([...names, ...more]) || more.length === 1) found.push([...names, ...more]);
    else return false;
    return true;
  };
  for (const whole of sections) if (!add(whole)) for (const column of whole) add([column]);
  return found;
}

/** How many of the first columns identify the rows; one where none do. */
function columnsThatName(columns: readonly Column[]): number {
  const rows = columns[0]?.cells.length ?? 0;
  for (let count = 1; count < columns.length; count++) {
    const names = columns.slice(0, count).map(({ cells }) => cells);
    const different = new Set(Array.from({ length: rows }, (_, r) => JSON.stringify(names.map((n) => n[r]))));
    if (different.size === rows) return count;
  }
  return 1;
}

function render(columns: readonly Column[], width: number): string {
  const widths = columns.map(({ title, cells }) => Math.max(...[title, ...cells].map(displayWidth)));
  narrow(widths, columns, width, leastOf);
  narrow(widths, columns, width, () => leastWidth);
  const line = (texts: readonly string[]) => texts.join(gap).trimEnd();
  const lines = (cells: readonly string[], fromBelow = false): string[] => {
    const wrapped = cells.map((cell, c) => wrapText(cell, widths[c]));
    const height = Math.max(...wrapped.map((own) => own.length));
    return Array.from({ length: height }, (_, k) =>
      line(
        wrapped.map((own, c) => {
          const text = own[fromBelow ? k - height + own.length : k] ?? "";
          return pad(text, widths[c], columns[c].align);
        }),
      ),
    );
  };
  return [
    ...lines(
      columns.map(({ title }) => title),
      true,
    ),
    line(widths.map((own) => "─".repeat(own))),
    ...(columns[0]?.cells ?? []).flatMap((_, r) => lines(columns.map(({ cells }) => cells[r]))),
  ].join("\n");
}

/** Takes from the widest column that is wider than its least, until all fit, as far as that goes. */
function narrow(
  widths: number[],
  columns: readonly Column[],
  width: number,
  least: (column: Column) => number,
): void {
  const leasts = columns.map(least);
  while (widthOf(widths) > width) {
    let widest = -1;
    for (const [c, own] of widths.entries()) {
      if (own > leasts[c] && (widest < 0 || own > widths[widest])) widest = c;
    }
    if (widest < 0) return;
    const { title, cells } = columns[widest];
    const wrapped = [title, ...cells].flatMap((text) => wrapText(text, widths[widest] - 1));
    widths[widest] = Math.max(leasts[widest], ...wrapped.map(displayWidth));
  }
}

/** The width at which no word of a column is broken but long ones, and no cell of figures is wrapped. */
function leastOf({ title, cells, figures }: Column): number {
  const words = [title, ...(figures ? [] : cells)].flatMap(wordsOf);
  const longest = Math.max(0, ...words.map(displayWidth));
  return Math.max(Math.min(longWord, longest), ...(figures ? cells.map(displayWidth) : []));
}

const widthOf = (widths: readonly number[]): number =>
  widths.reduce((sum, own) => sum + own, 0) + gap.length * (widths.length - 1);

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - displayWidth(text)));
  return align === "right" ? space + text : text + space;
}

/** A line break would break the alignment; what is written out for a control character takes room. */
function oneLine(text: string): string {
  return printable(text.replace(/[\t\n\r]+/g, " "));
}
