import type { Progress } from "../context.ts";
import { formatBytes, formatCount } from "../format.ts";
import { displayWidth, truncate } from "./width.ts";

/** How fast a stage goes, from its latest reports: a run that slows down is seen to. */
export class Rate {
  readonly #samples: { readonly at: number; readonly done: number }[] = [];

  /** @param at milliseconds */
  add(at: number, done: number): void {
    this.#samples.push({ at, done });
    // The last quarter of a minute, and always enough for a rate.
    while (this.#samples.length > 2 && at - this.#samples[1].at > windowMilliseconds) this.#samples.shift();
  }

  /** Units per second; undefined until it is known. */
  get perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.done <= first.done) return undefined;
    // Two reports at the same moment give no rate.
    return last.at > first.at ? (1000 * (last.done - first.done)) / (last.at - first.at) : undefined;
  }
}

const windowMilliseconds = 15_000;
const gap = "  ";
const shortestBar = 6;
const shortestDetail = 8;
/** A longer detail, as a file's path is, is cut rather than the numbers before it. */
const usualDetail = 28;
const longestBar = 24;

/** The parts of a line that are not the bar: share, count, rate, time left. */
function progressFacts({ done, total, unit }: Progress, rate: number | undefined): string[] {
  const amount = unit === "bytes" ? formatBytes : formatCount;
  const name = unit === "bytes" || unit === "" ? "" : ` ${unit}`;
  const facts: string[] = [];
  if (total > 0) facts.push(`${String(Math.floor((100 * Math.min(done, total)) / total)).padStart(3)} %`);
  facts.push(`${total > 0 ? `${amount(done)}/${amount(total)}` : amount(done)}${name}`);
  if (rate !== undefined) {
    facts.push(unit === "bytes" ? `${formatBytes(rate)}/s` : formatRate(rate));
    if (total > done) facts.push(`${timeLeft((total - done) / rate)} left`);
  }
  return facts;
}

/** One line of at most `columns`: stage, bar, facts and, where there is room, the detail. */
export function progressLine(progress: Progress, rate: number | undefined, columns: number): string {
  const { stage, done, total, detail } = progress;
  const needed = (facts: readonly string[]): number =>
    [stage, ...facts, detail ?? ""].reduce((sum, part) => sum + displayWidth(part) + gap.length, -gap.length);
  // First the bar gives way, then the unit's name, then the rate (the time left says it), then the count.
  const bare = progressFacts(progress.unit === "bytes" ? progress : { ...progress, unit: "" }, rate);
  const forms = [progressFacts(progress, rate), bare];
  if (total > done && rate !== undefined) forms.push(bare.toSpliced(2, 1), bare.toSpliced(1, 2));
  const least = shortestBar + gap.length - Math.max(0, displayWidth(detail ?? "") - usualDetail);
  const facts = forms.find((form) => needed(form) + least <= columns) ?? forms.at(-1)!;
  const bar = Math.min(longestBar, Math.max(shortestBar, columns - needed(facts) - gap.length));
  const filled = total > 0 ? Math.round((bar * Math.min(done, total)) / total) : 0;
  const line = [
    stage,
    ...(total > 0 ? [`${"█".repeat(filled)}${"░".repeat(bar - filled)}`] : []),
    ...facts,
  ].join(gap);
  const room = columns - displayWidth(line) - gap.length;
  if (detail === undefined || room < Math.min(shortestDetail, displayWidth(detail))) {
    return truncate(line, columns);
  }
  return `${line}${gap}${truncate(detail, room)}`;
}

/** The same for a log: no bar. */
export function plainLine(progress: Progress, rate: number | undefined): string {
  const facts = progressFacts(progress, rate).map((fact) => fact.trim());
  return `${progress.stage}: ${[...facts, ...(progress.detail === undefined ? [] : [progress.detail])].join(", ")}`;
}

function formatRate(perSecond: number): string {
  if (perSecond < 0.95) return `${(1 / perSecond).toFixed(1)} s each`;
  return perSecond < 9.95 ? `${perSecond.toFixed(1)}/s` : `${formatCount(perSecond)}/s`;
}

/** Whole seconds, minutes or hours: an estimate should not look exact. */
function timeLeft(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
