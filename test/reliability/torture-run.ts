import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { descendants, runs } from "../support/processes.ts";

const main = join(process.cwd(), "dist/cli/main.js");

/**
 * Which processes a kill ends: all of a command's at once, as a power cut or the end of a container does; the command alone,
 * while it waits for a model that another process runs; or that other process.
 */
export const killed = ["all", "command", "models"] as const;
export type Killed = (typeof killed)[number];

export interface Run {
  readonly code: number | null;
  readonly milliseconds: number;
  readonly stderr: string;
  /** Whether a process was killed: it may have ended before. */
  readonly killed: boolean;
}

/** Seconds within which what a killed command started must have ended. */
const mostOrphaned = 30;

/** Runs the command line in a group of processes of its own; `kill` says what is killed after some milliseconds. */
export async function run(
  args: readonly string[],
  kill?: { readonly after: number; readonly what: Killed },
): Promise<Run> {
  const began = performance.now();
  let below: readonly number[] = [];
  let hit = false;
  const found = await new Promise<Run>((resolve) => {
    const child = spawn(process.execPath, [main, ...args], {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    const end = () => {
      below = descendants(child.pid!);
      // Before it has started, the command is all that there is.
      const pids = { all: -child.pid!, command: child.pid!, models: below[0] ?? child.pid! };
      try {
        process.kill(pids[kill!.what], "SIGKILL");
        hit = true;
      } catch {
        // It has ended already.
      }
    };
    const timer = kill === undefined ? undefined : setTimeout(end, kill.after);
    let orphaned: NodeJS.Timeout | undefined;
    child.on("exit", () => {
      clearTimeout(timer);
      // What is left of a killed command holds its output open.
      orphaned = setTimeout(() => child.stderr.destroy(), 1000 * mostOrphaned);
    });
    child.on("close", (code) => {
      clearTimeout(orphaned);
      resolve({ code, milliseconds: performance.now() - began, stderr, killed: hit });
    });
  });
  await untilGone(below);
  return found;
}

/** Waits until what a killed command started has ended. Throws where it does not. */
async function untilGone(pids: readonly number[]): Promise<void> {
  const until = performance.now() + 1000 * mostOrphaned;
  while (pids.some(runs)) {
    if (performance.now() > until) throw new Error(`processes outlive their command by ${mostOrphaned} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A sha256 of the files of a folder whose bytes depend on what was computed alone. */
export async function hashOf(folder: string, which: RegExp): Promise<string> {
  const hash = createHash("sha256");
  const names = (await readdir(folder, { recursive: true })).filter((name) => which.test(name)).sort();
  for (const name of names) hash.update(name).update(await readFile(join(folder, name)));
  return names.length === 0 ? "nothing" : hash.digest("hex");
}
