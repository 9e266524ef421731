import { execFileSync } from "node:child_process";
import { hash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** A process of this machine: a number is given again once its process has ended, the two together are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** When it began, in the system's own terms; absent where the system does not say. */
  readonly start?: string | undefined;
}

/** Whether a process of this machine runs; one of another user does, too. */
export function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The process that has a number now; undefined where none has, or one that has ended and waits to be reaped. */
export function processAt(pid: number): ProcessIdentity | undefined {
  if (!processRuns(pid)) return undefined;
  const { state, start } = described(pid);
  return state === "Z" || state === "X" ? undefined : { pid, start };
}

/** Whether a process that was seen once still runs; "unknown" where another may have its number. */
export function stillRuns({ pid, start }: ProcessIdentity): boolean | "unknown" {
  const now = processAt(pid);
  if (now === undefined) return false;
  return start === undefined || now.start === undefined ? "unknown" : now.start === start;
}

function described(pid: number): { state?: string | undefined; start?: string | undefined } {
  try {
    if (process.platform === "linux") {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name in parentheses may hold anything. What follows are fields 3 (state) to 52; 22 is the start.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return { state: fields[0], start: fields[19] };
    }
    if (process.platform === "win32") return {};
    const [state, ...start] = execFileSync("ps", ["-o", "state=,lstart=", "-p", `${pid}`], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    })
      .trim()
      .split(/\s+/);
    return { state: state?.[0], start: start.join(" ") };
  } catch {
    return {};
  }
}

/** This process. */
export const thisProcess: ProcessIdentity = { pid: process.pid, start: described(process.pid).start };

/**
 * Where process numbers mean the same: a machine since it was started or, in a container, that container. Two with the
 * same name may share a disk.
 */
export const thisMachine: string = hash(
  "sha256",
  [hostname(), textOf(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim())]
    .concat(textOf(() => readlinkSync("/proc/self/ns/pid")))
    .join("\n"),
).slice(0, 16);

function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

let parent: ProcessIdentity | undefined;

/** Says that this process ends when the one that started it does. */
export function declareEndsWithParent(): void {
  parent = processAt(process.ppid);
}

/** The process with which this one ends; undefined where it does not end with its parent. */
export const endsWith = (): ProcessIdentity | undefined => parent;
