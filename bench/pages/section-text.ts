/** What the texts of all sections are put together with. */
import { formatTable as format } from "../../src/cli/table.ts";
import { failure } from "./section.ts";

export const ms = (value: number): string => value.toFixed(value < 99.95 ? 1 : 0);
export const ratioOf = (value: number | undefined): string => (value === undefined ? "–" : value.toFixed(2));
export const noted = (notes: readonly string[]): string =>
  [...new Set(notes)].map((note) => `${note[0].toUpperCase()}${note.slice(1)}.\n`).join("");

/** A table, or nothing where all of it was not run. */
export const formatTable = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  rows.length === 0 ? "" : format(head, rows);

/** Runs `work` for each item; what fails is noted and the others continue. */
export function each<Item, T>(items: readonly Item[], name: (item: Item) => string, work: (item: Item) => T) {
  const results: T[] = [];
  const notes: string[] = [];
  for (const item of items) {
    process.stderr.write(`  ${name(item)}\n`);
    try {
      results.push(work(item));
    } catch (error) {
      notes.push(`${name(item)} was not run: ${failure(error)}`);
    }
  }
  return { results, notes };
}

/** "name", or "name@128" where images are not of 224 px. */
export const nameOf = (model: string, size: number): string => (size === 224 ? model : `${model}@${size}`);
