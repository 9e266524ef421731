import { readdirSync, readFileSync } from "node:fs";

/** The processes that descend from `pid`, by the system's own account (Linux). */
export function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The program's name, in parentheses, may have spaces in it.
      const fields = readFileSync(`/proc/${name}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It has ended in the meantime.
    }
  }
  const own = children.get(pid) ?? [];
  return own.flatMap((child) => [child, ...descendants(child)]);
}

/** Whether a process runs: one that has ended and that nobody has asked about does not. */
export function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits until none of the processes runs; throws after `seconds`. */
export async function untilEnded(pids: readonly number[], seconds = 10): Promise<void> {
  const deadline = performance.now() + 1000 * seconds;
  while (pids.some(runs)) {
    if (performance.now() > deadline) throw new Error(`still running: ${pids.filter(runs).join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
