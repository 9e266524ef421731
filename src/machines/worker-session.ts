import { cpus, hostname } from "node:os";
import type { Keeper } from "./keeper.ts";
import type { WorkerStatus } from "./run-record.ts";
import type { Renewal, RunServer } from "./run-server.ts";

/** What this worker says of itself, and the lease that is renewed with it. */
export class WorkerSession {
  readonly #server: RunServer;
  readonly #keeper: Keeper;
  #ready = false;
  #status: WorkerStatus = {
    host: hostname(),
    pid: process.ppid,
    cpu: cpus()[0]?.model.trim() ?? process.arch,
    step: 0,
    loss: null,
    shards: 0,
    imagesPerSecond: null,
    stepSeconds: null,
    waitSeconds: null,
    progress: 0,
    doing: "preparing",
  };

  constructor(server: RunServer, keeper: Keeper) {
    this.#server = server;
    this.#keeper = keeper;
  }

  /** What was last heard of the run. */
  get latest(): Renewal {
    return this.#keeper.latest;
  }

  /** Begins a session; what an older one held is lost. */
  async begin(): Promise<void> {
    this.#status = { ...this.#status, shards: 0 };
    await this.#server.begin(this.#status);
    this.#keep(true);
  }

  isLost(): boolean {
    return this.#keeper.lost.has(this.#server.session ?? "");
  }

  /** @param ready from now on: the worker has caught up and may be given shards */
  say(news: Partial<WorkerStatus>, ready = this.#ready): void {
    const first = ready && !this.#ready;
    this.#ready = ready;
    this.#status = { ...this.#status, ...news };
    this.#keep(first);
  }

  /** Something was computed. */
  progress(): void {
    this.say({ progress: this.#status.progress + 1 });
  }

  #keep(now: boolean): void {
    this.#keeper.keep({ session: this.#server.session, status: this.#status, ready: this.#ready, now });
  }
}
