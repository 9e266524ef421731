import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What the command line asks of the benchmarks. */
export interface BenchOptions {
  readonly quick: boolean;
  /** Long parts too, which are left out of a plain run. */
  readonly slow: boolean;
  readonly threads: string;
  readonly device?: string;
  /** Batches of the encoder step, separated by commas. */
  readonly batches: string;
  /** Seconds of its own steps that LGM has for each schedule in the comparison at equal accuracy. */
  readonly equalSeconds: number;
  /** Seconds after which a peer's probe is stopped. */
  readonly peerSeconds: number;
}

/** What a section found. */
export interface Report {
  /** Plain text of at most 80 columns: tables, and what must be said of them. */
  readonly text: string;
  /** Its part of the line of JSON. */
  readonly json?: Readonly<Record<string, unknown>>;
  /** Files for docs/, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** One comparison. */
export interface Section {
  /** As `--only` names it. */
  readonly id: string;
  readonly title: string;
  /** What is compared, how, and what it does not say. */
  readonly about: string;
  readonly run: (options: BenchOptions) => Report;
}

let deadline = Number.POSITIVE_INFINITY;

/** From now on, processes are stopped when this many seconds have gone by. */
export function stopAfter(seconds: number): void {
  deadline = performance.now() + 1000 * seconds;
}

/**
 * Runs a script of bench/runs in its own process and reads the line of JSON that it ends with.
 * @param seconds after which it is stopped: its last whole line counts, and without one this throws
 */
export function child<T>(
  script: string,
  args: readonly (string | number)[],
  seconds = Number.POSITIVE_INFINITY,
  variables: Readonly<Record<string, string>> = {},
): T {
  const left = Math.ceil(Math.min(1000 * seconds, deadline - performance.now()));
  if (left < 1000) throw Object.assign(new Error("no time is left"), { code: "ETIMEDOUT" });
  const file = fileURLToPath(new URL(`../runs/${script}`, import.meta.url));
  const options: ExecFileSyncOptionsWithStringEncoding = {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 2 ** 26,
    env: { ...process.env, ...variables },
    ...(Number.isFinite(left) ? { timeout: left } : {}),
  };
  let text: string;
  try {
    text = execFileSync(process.execPath, [file, ...args.map(String)], options);
  } catch (error) {
    // What it had found when its time was up is better than nothing.
    const { code, stdout } = error as { code?: unknown; stdout?: unknown };
    if (code !== "ETIMEDOUT" || typeof stdout !== "string" || !stdout.includes("\n")) throw error;
    text = stdout.slice(0, stdout.lastIndexOf("\n"));
  }
  return JSON.parse(text.trimEnd().split("\n").at(-1)!) as T;
}

/** What a failed child had to say, on one line. */
export function failure(error: unknown): string {
  if ((error as { code?: unknown }).code === "ETIMEDOUT") return "its time was up";
  const stderr = (error as { stderr?: unknown }).stderr;
  const said = typeof stderr === "string" ? stderr : stderr instanceof Uint8Array ? String(stderr) : "";
  const line = said
    .split("\n")
    .filter((text) => /error/i.test(text) && !text.trimStart().startsWith("at "))
    .at(-1);
  const message = line ?? (error instanceof Error ? error.message : String(error));
  return message.split("\n")[0].trim().slice(0, 300);
}

/** Text broken into lines of at most `width` columns. */
export function wrapped(text: string, width = 80): string {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines.join("\n");
}
