import { ProcessError } from "../errors.ts";
import { HelperLost } from "../helpers/helper-lost.ts";
import type { SyntheticParameters } from "../synthetic/parameters.ts";
import type {
  ShardHolder,
  ShardReplies,
  ShardRequest,
  ShardRequestOf,
  ShardSetup,
} from "./shard-messages.ts";

/** How often in a row a holder may be lost before it has answered anything. */
const mostLosses = 3;

interface Waiting {
  readonly request: ShardRequest;
  resolve(reply: unknown): void;
  reject(error: unknown): void;
}

/**
 * A holder of shards that is replaced when it is lost: another one starts from the last saved state and is sent again
 * what came since, so that it ends up with the same bits.
 */
export class ReplacedHolder {
  readonly #make: () => ShardHolder;
  readonly #setup: ShardSetup;
  readonly #reload: () => Promise<readonly SyntheticParameters[]>;
  #holder: ShardHolder | undefined;
  /** Requests since the last saved state that change the shards. */
  #log: ShardRequest[] = [];
  #waiting: Waiting[] = [];
  #losses = 0;
  #ended = false;

  /** @param reload the last saved state of the shards */
  constructor(
    make: () => ShardHolder,
    setup: ShardSetup,
    reload: () => Promise<readonly SyntheticParameters[]>,
  ) {
    this.#make = make;
    this.#setup = setup;
    this.#reload = reload;
  }

  /** Resolves when the holder can be sent requests. */
  async start(): Promise<void> {
    for (;;) {
      try {
        await this.#restored([]);
        return;
      } catch (error) {
        await this.#lost(error);
      }
    }
  }

  request<Kind extends ShardRequest["kind"]>(request: ShardRequestOf<Kind>): Promise<ShardReplies[Kind]> {
    if (request.kind === "features" || request.kind === "update") this.#log.push(request);
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { request, resolve: resolve as (reply: unknown) => void, reject };
      this.#waiting.push(waiting);
      this.#send(waiting);
    });
  }

  /** Marks this moment: the function that it gives forgets the requests before, once the state is saved. */
  mark(): () => void {
    const before = new Set(this.#log);
    return () => {
      this.#log = this.#log.filter((request) => !before.has(request));
    };
  }

  /** Bytes of the requests that are kept. */
  get keptBytes(): number {
    let bytes = 0;
    for (const request of this.#log)
      if (request.kind === "update") for (const part of request.cotangents) bytes += part.byteLength;
    return bytes;
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#holder?.end();
  }

  #send(waiting: Waiting): void {
    const holder = this.#holder;
    if (holder === undefined) return; // It is being replaced, and is sent what is waiting then.
    const { request } = waiting as { request: ShardRequestOf<"plain"> };
    holder.request(request).then(
      (reply) => {
        if (holder !== this.#holder) return;
        this.#losses = 0;
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        waiting.resolve(reply);
      },
      (error: unknown) => {
        if (holder !== this.#holder) return;
        if (error instanceof HelperLost && !this.#ended) {
          void this.#replace(error);
          return;
        }
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        waiting.reject(error);
      },
    );
  }

  async #replace(reason: unknown): Promise<void> {
    this.#holder = undefined;
    let error = reason;
    for (;;) {
      try {
        await this.#lost(error);
        const waiting = new Set(this.#waiting.map(({ request }) => request));
        await this.#restored(this.#log.filter((request) => !waiting.has(request)));
        for (const one of this.#waiting) this.#send(one);
        return;
      } catch (next) {
        if (next instanceof HelperLost) {
          error = next;
          continue;
        }
        for (const { reject } of this.#waiting) reject(next);
        this.#waiting = [];
        return;
      }
    }
  }

  /** A new holder, sent `log` again. */
  async #restored(log: readonly ShardRequest[]): Promise<void> {
    const holder = this.#make();
    try {
      await holder.request({ kind: "start", setup: this.#setup, shards: await this.#reload() });
      for (const request of log) await holder.request(request as ShardRequestOf<"plain">);
    } catch (error) {
      await holder.end();
      throw error;
    }
    this.#holder = holder;
  }

  /** Throws unless another try makes sense. */
  async #lost(error: unknown): Promise<void> {
    if (!(error instanceof HelperLost) || this.#ended) throw error;
    if (++this.#losses < mostLosses) return;
    throw new ProcessError(
      `${error.message} It was started ${mostLosses} times. Give fewer \`threads\` or a smaller \`memoryBytes\`, and see that ` +
        "nothing else ends the program's processes.",
      { cause: error },
    );
  }
}
