import { type ChildProcess, fork } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { memoryDisk } from "./fuzz-input.ts";
import { type Batch, type Failure, tooLarge } from "./fuzz-worker.ts";

export const mostSeconds = 5;
export const mostBytes = 2 ** 30;
/** Seconds that an input may take without computing: it waits for something that does not come. */
const mostWaiting = 60;
/** Above this a worker is replaced between batches. */
const comfortableBytes = 0.6 * 2 ** 30;
/** Clock ticks of a second in /proc, on every Linux. */
const ticks = 100;

/** What came of a batch. */
export interface Read {
  /** The first input that was not read. */
  readonly next: number;
  readonly refused: number;
  readonly accepted: number;
  readonly failures: readonly Failure[];
  /** An input during which the process ended or was ended, and why; it is in none of the counts. */
  readonly ended?: Failure & { readonly kind: "time" | "memory" | "crash" };
}

/**
 * A process that reads inputs, replaced where it ends or is ended. Time is what the process computes, not what goes by: on a
 * busy machine an input may wait for long.
 */
export class WatchedWorker {
  #child: ChildProcess | undefined;
  #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(): Promise<WatchedWorker> {
    return new WatchedWorker(await mkdtemp(join(memoryDisk, "clp-dd-fuzz-")));
  }

  get #progress(): string {
    return join(this.#folder, "progress");
  }

  get #errors(): string {
    return join(this.#folder, "stderr");
  }

  /** What a process wrote before it ended. */
  #lastWords(): string {
    const said = readFileSync(this.#errors, "utf8").trim();
    return said === "" ? "" : `\n${said.slice(0, 2000)}`;
  }

  get #failures(): string {
    return join(this.#folder, "failures.jsonl");
  }

  #started(): ChildProcess {
    if (this.#child?.connected) return this.#child;
    const path = fileURLToPath(new URL("./fuzz-worker.js", import.meta.url));
    const inputs = join(this.#folder, "inputs");
    rmSync(inputs, { recursive: true, force: true });
    mkdirSync(inputs);
    const errors = openSync(this.#errors, "w");
    this.#child = fork(path, [this.#progress, this.#failures, String(mostBytes)], {
      env: { ...process.env, CLP_DD_FUZZ: inputs },
      serialization: "advanced",
      stdio: ["ignore", "ignore", errors, "ipc"],
    });
    closeSync(errors);
    return this.#child;
  }

  /** Has the process read some inputs. */
  async read(batch: Batch): Promise<Read> {
    writeFileSync(this.#progress, new Uint8Array(24).fill(0));
    writeFileSync(this.#failures, "");
    const child = this.#started();
    const { kind, why } = await this.#watched(child, batch);
    const [at = -1, refused = 0, accepted = 0] = this.#state();
    const failures = readFileSync(this.#failures, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Failure);
    if (kind === "done") {
      if (rssOf(child.pid!) > comfortableBytes) await this.renew();
      return { next: batch.from + batch.count, refused, accepted, failures };
    }
    await this.renew();
    // A process may end before its first input, or after its last.
    const number = at < batch.from ? batch.from : at;
    return { next: number + 1, refused, accepted, failures, ended: { number, why, kind } };
  }

  #watched(
    child: ChildProcess,
    batch: Batch,
  ): Promise<{ kind: "done" | "time" | "memory" | "crash"; why: string }> {
    return new Promise((resolve) => {
      let [number, computed, since] = [-2, 0, performance.now()];
      const settle = (kind: "done" | "time" | "memory" | "crash", why = "") => {
        clearInterval(watch);
        child.off("message", done);
        child.off("exit", exited);
        resolve({ kind, why });
      };
      const done = () => settle("done");
      const exited = (code: number | null, signal: string | null) => {
        if (code === tooLarge) settle("memory", "took more than 1 GiB");
        else settle("crash", `ended the process (${signal ?? code})${this.#lastWords()}`);
      };
      const watch = setInterval(() => {
        const [at = -1] = this.#state();
        const cpu = cpuSecondsOf(child.pid!);
        if (at !== number) [number, computed, since] = [at, cpu, performance.now()];
        // Before its first input a worker loads the program and makes its corpus.
        const most = at < 0 ? 12 * mostSeconds : mostSeconds;
        const waited = (performance.now() - since) / 1000;
        if (cpu - computed > most) settle("time", `took more than ${mostSeconds} s`);
        else if (waited > 10 * mostWaiting || (waited > mostWaiting && cpu - computed < mostWaiting / 20))
          settle("time", "waits for something that does not come");
        else if (rssOf(child.pid!) > mostBytes) settle("memory", "took more than 1 GiB");
      }, 200);
      child.on("message", done);
      child.once("exit", exited);
      child.send(batch);
    });
  }

  #state(): number[] {
    const bytes = readFileSync(this.#progress);
    return [...new Float64Array(new Uint8Array(bytes).buffer)];
  }

  /** Ends the process; the next batch is read by another. */
  async renew(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    const killer = setTimeout(() => child.kill("SIGKILL"), 2000);
    if (child.connected) child.disconnect();
    await ended;
    clearTimeout(killer);
  }

  async close(): Promise<void> {
    await this.renew();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Seconds that a process has computed; 0 where the system does not say. */
function cpuSecondsOf(pid: number): number {
  try {
    // What stands behind the name of the program, which may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticks;
  } catch {
    return 0;
  }
}

/** Bytes of memory that are a process's own. */
function rssOf(pid: number): number {
  try {
    return 1024 * Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
