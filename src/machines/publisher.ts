import type { RunServer } from "./run-server.ts";

/** Features of one shard on their way to the log. */
export interface Publication {
  readonly step: number;
  readonly levels: number;
  readonly due: boolean;
  /** Of all that the step before came to. */
  readonly digest: string | undefined;
  readonly shard: number;
  readonly features: Float32Array;
}

/** Bytes from which on features wait for the next entry. */
const mostBytes = 2 ** 22;

interface Waiting {
  readonly one: Publication;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Adds features to a run's log. Those that are asked for in one turn share entries: an entry costs the server and every worker
 * more than the bytes of a shard do.
 */
export class Publisher {
  readonly #server: Pick<RunServer, "publish">;
  #waiting: Waiting[] = [];

  constructor(server: Pick<RunServer, "publish">) {
    this.#server = server;
  }

  /** Resolves once the log has the features. @throws what `RunServer.publish` throws of their entry */
  publish(one: Publication): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ one, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.#send());
    });
  }

  #send(): void {
    while (this.#waiting.length > 0) {
      const entry = this.#next();
      this.#server.publish(entryOf(entry.map(({ one }) => one))).then(
        () => {
          for (const { resolve } of entry) resolve();
        },
        (error: unknown) => {
          for (const { reject } of entry) reject(error);
        },
      );
    }
  }

  /** The first that wait, as many as one entry may have. */
  #next(): Waiting[] {
    const [{ one: first }] = this.#waiting;
    let bytes = 0;
    const end = this.#waiting.findIndex(({ one }, i) => {
      bytes += one.features.byteLength;
      const other = one.step !== first.step || one.levels !== first.levels || one.digest !== first.digest;
      return i > 0 && (other || bytes > mostBytes);
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end);
  }
}

/** One entry of the features of several shards. */
function entryOf(all: readonly Publication[]): Parameters<RunServer["publish"]>[0] {
  const [{ step, levels, digest }] = all;
  const parts = all.map(({ features: { buffer, byteOffset, byteLength } }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return {
    ...{ step, levels, digest },
    due: all.some(({ due }) => due),
    shards: all.map(({ shard }) => shard),
    bytes: parts.length === 1 ? parts[0] : Buffer.concat(parts),
  };
}
