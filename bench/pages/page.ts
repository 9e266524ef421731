/** The page that the benchmarks write, a block for each section, so that several runs can put it together. */
import { wrapped } from "./section.ts";

/** Where a block's numbers come from. */
export interface Provenance {
  /** The command that repeats it. */
  readonly command: string;
  /** As 2026-11-23. */
  readonly date: string;
  /** Load average when the section began. */
  readonly load: number;
  /** Cores that other programs were using then. */
  readonly busyCores: number;
  readonly cores: number;
  /** The machine and the versions, where they are not those of the page. */
  readonly machine?: string;
}

/** Below this, other programs leave a run alone: a core that is busy for an eighth of the time. */
const quietCores = 0.125;

/** One sentence or two, as they stand under a section's title. */
export function provenanceText({ command, date, load, busyCores, cores, machine }: Provenance): string {
  const others =
    busyCores > quietCores
      ? ` Other programs were using ${busyCores.toFixed(1)} of ${cores} cores: times are noisy.`
      : "";
  return `\`${command}\`, ${date}; load average when it began: ${load.toFixed(1)}.${others}${machine ? ` ${machine}` : ""}`;
}

export interface Block {
  readonly title: string;
  readonly about: string;
  readonly provenance: string;
  /** Tables and what is said of them. */
  readonly text: string;
  /** Names of pictures beside the page. */
  readonly pictures: readonly string[];
}

export function blockText({ title, about, provenance, text, pictures }: Block): string {
  const shown = pictures.map((name) => `\n![${title}](${name})\n`).join("");
  return `## ${title}\n\n${wrapped(about, 110)}\n\n${wrapped(provenance, 110)}\n\n\`\`\`\n${text.trimEnd()}\n\`\`\`\n${shown}`;
}

/** The page's beginning. */
export function headText(machine: string): string {
  return (
    `# Benchmarks\n\n${wrapped(
      "Written by `npm run bench`; under each title stand the command that its numbers are of, its day and what else " +
        "the machine had to do. Both sides of a comparison run in turn, medians are shown; ratios above 1 mean that " +
        "this project is better. The peers are installed by `bench/peers/setup`.",
      110,
    )}\n\n` + `${machine}\n`
  );
}

/** The machine and the versions that a page names, on one line; undefined where it does not look like one. */
export function machineOf(page: string): string | undefined {
  const [, , paragraph] = beginningOf(page).trimEnd().split("\n\n");
  return paragraph?.split("\n").join(" ");
}

const beginningOf = (page: string): string => page.split(/^(?=## )/m)[0];

/**
 * A page with the given blocks in place of those of the same titles; new ones where `order` has them, and those that
 * no section has any more are dropped.
 */
export function splicedPage(page: string, blocks: readonly Block[], order: readonly string[]): string {
  const beginning = beginningOf(page);
  return spliced(beginning, page, new Map(blocks.map((block) => [block.title, blockText(block)])), order);
}

/** `beginning`, then the sections of `page` in `order`, those of `texts` (by title, titles included) in place of its own. */
export function spliced(
  beginning: string,
  page: string,
  texts: ReadonlyMap<string, string>,
  order: readonly string[],
): string {
  const titleOf = (text: string): string => text.slice(3, text.indexOf("\n"));
  const [, ...old] = page.split(/^(?=## )/m);
  const all = new Map([...old.map((text) => [titleOf(text), text] as const), ...texts]);
  const kept = order.flatMap((title) => all.get(title)?.trimEnd() ?? []);
  return `${[beginning.trimEnd(), ...kept].join("\n\n")}\n`;
}
