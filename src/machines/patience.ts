import { ServerError } from "../errors.ts";
import type { FeatureLog } from "./feature-log.ts";
import { workerName } from "./run-record.ts";
import { type RunServer, readRun } from "./run-server.ts";

interface Watched {
  readonly server: RunServer;
  readonly log: FeatureLog;
  readonly patienceSeconds: number;
}

/**
 * How long a worker waits for others. News is an entry in the log, or progress of a worker that has a shard which is
 * waited for. A worker that renews its lease and makes no progress for half of the time loses its shards.
 */
export class Patience {
  readonly #watched: Watched;
  readonly #missing: () => readonly number[];
  #since = performance.now();
  #lookedAt = performance.now();
  #entries: number;
  #progress = new Map<string, number>();

  /** @param missing the shards that are waited for */
  constructor(watched: Watched, missing: () => readonly number[]) {
    this.#watched = watched;
    this.#missing = missing;
    this.#entries = watched.log.entries;
  }

  /** There is news. */
  renew(): void {
    this.#since = performance.now();
  }

  /** Seconds without news. @throws ServerError naming what was waited for, once they are too many */
  async check(step: number): Promise<number> {
    const { log, patienceSeconds } = this.#watched;
    if (log.entries !== this.#entries) {
      this.#entries = log.entries;
      this.renew();
    }
    const now = performance.now();
    if (now - this.#since > 100 * patienceSeconds && now - this.#lookedAt > 50 * patienceSeconds) {
      this.#lookedAt = now;
      await this.#look();
    }
    const silent = (performance.now() - this.#since) / 1000;
    if (silent > patienceSeconds) throw await this.#tooLong(step, silent);
    return silent;
  }

  async #owners() {
    const { server } = this.#watched;
    const state = await readRun(server.connection, server.name);
    const missing = this.#missing();
    const owners = missing.map((shard) => state?.owners.get(shard));
    return { missing, workers: state?.workers.filter(({ session }) => owners.includes(session)) ?? [] };
  }

  async #look(): Promise<void> {
    const { server, patienceSeconds } = this.#watched;
    const { workers } = await this.#owners();
    const stuck: string[] = [];
    let news = false;
    for (const { session, progress } of workers) {
      const before = this.#progress.get(session);
      if (before !== progress) news = true;
      else if (session !== server.session) stuck.push(session);
      this.#progress.set(session, progress);
    }
    if (news) this.renew();
    else if (performance.now() - this.#since > 500 * patienceSeconds) await server.evict(stuck);
  }

  async #tooLong(step: number, silent: number): Promise<ServerError> {
    const { missing, workers } = await this.#owners();
    const who = workers.map(workerName).join(", ");
    const what =
      missing.length === 0
        ? "the checkpoint of all shards"
        : `the features of shard ${missing.slice(0, 8).join(", ")}`;
    return new ServerError(
      `Waited ${Math.round(silent)} s (patience) for ${what} in step ${step + 1}, which ${who === "" ? "nobody has" : `${who} should compute`}. ` +
        "See what that worker does, or give more memory so that others may take its shards; then start the same command again.",
    );
  }
}
