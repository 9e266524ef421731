import { Worker } from "node:worker_threads";
import { workerUrl } from "../files/worker-url.ts";
import type { ServerAddress } from "./address.ts";
import type { WorkerStatus } from "./run-record.ts";
import type { Renewal } from "./run-server.ts";

export interface KeeperSetup {
  readonly address: ServerAddress;
  readonly run: string;
  readonly id: string;
  readonly leaseMilliseconds: number;
}

/** What is to be renewed from now on. */
export interface ToKeeper {
  readonly session: string | undefined;
  readonly status: WorkerStatus;
  /** Whether the worker has caught up, so that it may be given shards. */
  readonly ready: boolean;
  /** Not only when the next renewal is due. */
  readonly now: boolean;
}

export type ToWorker =
  | ({ readonly kind: "renewed" } & Renewal)
  | { readonly kind: "lost" | "gone"; readonly session: string }
  | { readonly kind: "silent"; readonly reason: string };

/** Renews a worker's lease from another thread, and keeps what is heard of the run. */
export class Keeper {
  readonly #thread: Worker;
  /** The latest news; of the worker alone before there are any. */
  latest: Renewal = { workers: 1, ready: 1, generation: 0 };
  /** Sessions that have ended without having been left. */
  readonly lost = new Set<string>();

  constructor(setup: KeeperSetup) {
    this.#thread = new Worker(workerUrl(import.meta.url, "./keeper-thread.ts"), { workerData: setup });
    this.#thread.on("message", (message: ToWorker) => {
      if (message.kind === "renewed") this.latest = message;
      else if (message.kind === "lost") this.lost.add(message.session);
    });
    // A thread that fails renews nothing: the lease ends, and the next call of the main thread finds out.
    this.#thread.on("error", () => {});
    this.#thread.unref();
  }

  keep(message: ToKeeper): void {
    this.#thread.postMessage(message);
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }
}
