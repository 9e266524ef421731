/** Numbers as people read them: in tables, reports and messages. */

/** A size in bytes with three digits: "512 B", "12.4 MiB", "1.25 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  // 1023.5 would be shown as 1024 of the smaller unit.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : threeDigits(value)} ${units[unit]}`;
}

/** A duration: "0.42 s", "12.3 s", "3 min 05 s", "2 h 03 min". */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${twoDigits(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
}

/** A fraction as a percentage: 0.498 is "49.8 %". */
export function formatPercent(fraction: number, digits = 1): string {
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(digits)} %` : "–";
}

/** Mean and standard deviation of fractions: "20.1 ± 1.3 %"; the mean alone without a deviation. */
export function formatMeanStd(mean: number, std: number | undefined, digits = 1): string {
  if (std === undefined) return formatPercent(mean, digits);
  return `${(100 * mean).toFixed(digits)} ± ${(100 * std).toFixed(digits)} %`;
}

/** A whole number with its thousands set apart: 12,345. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** A number of things: "1 seed", "1,000 epochs". */
export function formatMany(count: number, what: string): string {
  return `${formatCount(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** A number with what may follow it: a deviation, a unit. */
const number = /^[-+]?\d[\d.,]*(\s*(±\s*\S+)?\s*(%|[KMGT]i?B|B|s|ms|px|min( \d+ s)?|h( \d+ min)?)?)?$/;
/** Several numbers with what joins them: "64.3 ± 0.6 (50.0 ± 1.2)", "67 %; 33.3 / -0.5". */
const numbers = /^(?=.*\d)[-+\d.,\s±%/;()–]+$/;

/** Whether the texts of a table's column are figures, to be aligned right; empty ones and dashes may be among them. */
export function isFigures(cells: readonly string[]): boolean {
  const filled = cells.filter((cell) => cell !== "" && cell !== "–");
  return filled.length > 0 && filled.every((cell) => number.test(cell) || numbers.test(cell));
}

function threeDigits(value: number): string {
  if (value < 9.995) return value.toFixed(2);
  return value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

const twoDigits = (value: number): string => String(value).padStart(2, "0");
