import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RunReport } from "../../src/machines/list.ts";
import { clpdd, type Outcome } from "./command.ts";
import { makePhotos } from "./photos.ts";
import { descendants, untilEnded } from "./processes.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** A worker of a run: the command line in a process. */
export interface TestWorker {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** What it has printed so far. */
  printed(): string;
  /** Sends a signal to the command and to all its processes. */
  signal(signal: NodeJS.Signals): void;
}

/** A folder in which small runs take place, and what the run alone comes to. */
export async function machinesFixture(steps: number) {
  const home = await mkdtemp(join(tmpdir(), "clp-dd-machines-"));
  const at = (name: string) => join(home, name);
  const photos = await makePhotos(at("photos"), 8);
  const args = [
    ...["distill", photos, "--size", "32", "--cache-dir", at("cache"), "--no-baselines", "--no-edits"],
    ...["--steps", `${steps}`, "--level-every", "3", "--ipc", "4", "--shard-images", "2", "--threads", "1"],
  ];
  const workers = new Set<TestWorker>();
  return {
    at,
    args,
    exact: (name: string) => readFile(join(at(name), "distilled.safetensors")),
    /** Starts a worker of the run `run` on the server at `port`. */
    worker(
      port: number,
      run: string,
      { out = run, lease = 2, patience = 60, more = [] as readonly string[], env = {} } = {},
    ): TestWorker {
      const join = ["--join", `redis://127.0.0.1:${port}/${run}`, "--lease", `${lease}`];
      const all = [main, ...args, ...join, "--patience", `${patience}`, "--out", at(out), ...more];
      const child = spawn(process.execPath, all, {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let [stdout, stderr] = ["", ""];
      child.stdout.on("data", (data) => {
        stdout += data;
      });
      child.stderr.on("data", (data) => {
        stderr += data;
      });
      const ended = new Promise<Outcome>((resolve) => {
        child.on("close", (code) => resolve({ code, stdout, stderr }));
      });
      const started: TestWorker = {
        child,
        ended,
        printed: () => stderr,
        signal(signal) {
          for (const pid of [child.pid!, ...descendants(child.pid!)]) {
            try {
              process.kill(pid, signal);
            } catch {
              // It has ended already.
            }
          }
        },
      };
      workers.add(started);
      void ended.then(() => workers.delete(started));
      return started;
    },
    /** What `clp-dd runs` says of a run; undefined where the server does not know it. */
    async report(port: number, run: string): Promise<RunReport | undefined> {
      const { stdout } = await clpdd(["runs", `redis://127.0.0.1:${port}/${run}`, "--json"]);
      return (JSON.parse(stdout || "[]") as RunReport[])[0];
    },
    async end() {
      const pids = [...workers].flatMap(({ child }) => [child.pid!, ...descendants(child.pid!)]);
      for (const worker of workers) {
        worker.signal("SIGCONT");
        worker.signal("SIGKILL");
      }
      await untilEnded(pids);
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** Waits until `done` holds; throws after `seconds`. */
export async function until(
  what: string,
  done: () => boolean | Promise<boolean>,
  seconds = 200,
): Promise<void> {
  const deadline = performance.now() + 1000 * seconds;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`${what} did not come about in ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The step that a run has reached, by the log of its server; -1 before the first. */
export function stepOf(cli: (...args: string[]) => string, run: string): number {
  const found = /^s\n(\d+)$/m.exec(cli("XREVRANGE", `clp-dd:{${run}}:log`, "+", "-", "COUNT", "1"));
  return found === null ? -1 : Number(found[1]);
}

/** The command line of a process, as everyone on the machine sees it. */
export const shownOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
