import { displayWidth, wrapText } from "./width.ts";

export interface TableOptions {
  /** By default, columns of numbers are aligned right and others left. */
  readonly align?: readonly ("left" | "right")[];
  /** Columns of the terminal; longer rows are wrapped inside their widest left-aligned cells. By default 80. */
  readonly width?: number;
}

const gap = "  ";
/** Narrower than this no column is made. */
const leastWidth = 8;
/** A number with what may follow it: a deviation, a unit. */
const number = /^[-+]?\d[\d.,]*(\s*(±\s*\S+)?\s*(%|[KMGT]i?B|B|s|ms|px|min( \d+ s)?|h( \d+ min)?)?)?$/;

/**
 * Rows of text as an aligned table with a line under the head. Every character is kept: what does not fit is
 * wrapped. Lines have no trailing spaces and there is no newline at the end.
 */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const cells = rows.map((row) => head.map((_, c) => oneLine(row[c] ?? "")));
  const column = (c: number) => cells.map((row) => row[c]!);
  const align = head.map((_, c) => options.align?.[c] ?? (isNumeric(column(c)) ? "right" : "left"));
  const widths = head.map((title, c) => Math.max(displayWidth(title), ...column(c).map(displayWidth)));
  shrink(widths, align, (options.width ?? 80) - gap.length * (head.length - 1));

  const render = (row: readonly string[]): string[] => {
    const wrapped = row.map((cell, c) => wrapText(cell, widths[c]!));
    const height = Math.max(...wrapped.map((lines) => lines.length));
    return Array.from({ length: height }, (_, k) =>
      wrapped
        .map((lines, c) => pad(lines[k] ?? "", widths[c]!, align[c]!))
        .join(gap)
        .trimEnd(),
    );
  };
  const rule = widths.map((width) => "─".repeat(width)).join(gap);
  return [...render(head), rule, ...cells.flatMap(render)].join("\n");
}

/** Takes from the widest left-aligned column until the sum fits, as far as that goes. */
function shrink(widths: number[], align: readonly string[], room: number): void {
  let excess = widths.reduce((sum, w) => sum + w, 0) - room;
  while (excess > 0) {
    let widest = -1;
    for (const [c, width] of widths.entries()) {
      if (align[c] === "left" && width > leastWidth && (widest < 0 || width > widths[widest]!)) widest = c;
    }
    if (widest < 0) return;
    widths[widest]!--;
    excess--;
  }
}

function isNumeric(cells: readonly string[]): boolean {
  const filled = cells.filter((cell) => cell !== "" && cell !== "–");
  return filled.length > 0 && filled.every((cell) => number.test(cell));
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - displayWidth(text)));
  return align === "right" ? space + text : text + space;
}

/** Control characters would break the alignment, or worse: file names may hold escape sequences. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ");
}
