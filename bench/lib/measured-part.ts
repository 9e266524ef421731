import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { isAbsolute } from "node:path";

/**
 * Writes the part of a page that a script measures anew: what is between `<!-- measured: SCRIPT -->` and
 * `<!-- end of SCRIPT -->`.
 */
export function writeMeasuredPart(page: string, script: string, text: string): void {
  const [begin, end] = [`<!-- measured: ${script} -->`, `<!-- end of ${script} -->`];
  const before = readFileSync(page, "utf8");
  const [from, to] = [before.indexOf(begin), before.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${page} has no part "${begin} … ${end}"`);
  writeFileSync(page, `${before.slice(0, from + begin.length)}\n${text.trim()}\n${before.slice(to)}`);
}

/** Load of the machine when the script began. */
const load = loadavg()[0].toFixed(1);

/** The command, the day and the machine, for below a table. */
export function measuredBy(script: string): string {
  // Where folders are on the machine that measured is nobody's business.
  const args = process.argv.slice(2).map((arg) => (isAbsolute(arg) ? "FOLDER" : arg));
  const command = ["node", `.bench/${script.replace(/\.ts$/, ".js")}`, ...args].join(" ");
  const day = new Date().toISOString().slice(0, 10);
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"})`;
  return `\`${command}\`, ${day}; ${machine}, Node ${process.version}; load at the start ${load}.`;
}
