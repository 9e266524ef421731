import { DataError } from "../errors.ts";
import type { ServerAddress } from "./address.ts";
import { runKeys } from "./scripts.ts";
import { Connection, type ConnectionOptions, type Reply } from "./server.ts";

/** What the log has of one evaluation of all images. */
interface Evaluation {
  readonly features: Map<number, Float32Array>;
  /** Whether all shards are to be saved after this step. */
  due: boolean;
}

/** Milliseconds for which the server holds a read back where there is nothing new. */
const blockMilliseconds = 2000;
/** Entries of one reply. */
const most = 256;

const keyOf = (step: number, levels: number) => `${step}/${levels}`;

/**
 * The log of a run's features, read from its beginning on and kept until it is forgotten. Of features that were added
 * twice, the first count.
 */
export class FeatureLog {
  readonly #connection: Connection;
  readonly #key: string;
  /** Numbers that each shard has. */
  readonly #lengths: readonly number[];
  readonly #evaluations = new Map<string, Evaluation>();
  /** The first entry of each step. */
  readonly #firstIds = new Map<number, string>();
  #from = "0";
  #waiting: (() => void)[] = [];
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  /** Whether the server has more than was read. */
  #behind = true;
  /** Steps before this one are not kept. */
  #keep = 0;
  /** The latest step of which there is anything; -1 before. */
  latestStep = -1;
  /** Entries read so far: what shows that the run is alive. */
  entries = 0;
  bytes = 0;

  constructor(address: ServerAddress, run: string, lengths: readonly number[], options: ConnectionOptions) {
    this.#connection = new Connection(address, options);
    this.#key = runKeys(run)[5];
    this.#lengths = lengths;
    void this.#follow();
  }

  /** Adds features that this worker has published itself, so that it need not wait for them to come back. */
  add(step: number, levels: number, shard: number, features: Float32Array, due: boolean): void {
    if (step < this.#keep) return;
    const key = keyOf(step, levels);
    const evaluation = this.#evaluations.get(key) ?? { features: new Map(), due: false };
    this.#evaluations.set(key, evaluation);
    evaluation.due ||= due;
    if (!evaluation.features.has(shard)) evaluation.features.set(shard, features);
    this.latestStep = Math.max(this.latestStep, step);
  }

  /** The features of all shards, and whether they are to be saved after the step; undefined where some are missing. */
  complete(step: number, levels: number): Readonly<Evaluation> | undefined {
    const evaluation = this.#evaluations.get(keyOf(step, levels));
    return evaluation?.features.size === this.#lengths.length ? evaluation : undefined;
  }

  has(step: number, levels: number, shard: number): boolean {
    return this.#evaluations.get(keyOf(step, levels))?.features.has(shard) ?? false;
  }

  firstId(step: number): string | undefined {
    return this.#firstIds.get(step);
  }

  /** Forgets what is of steps before `step`. */
  forget(step: number): void {
    this.#keep = step;
    for (const key of this.#evaluations.keys())
      if (Number.parseInt(key, 10) < step) this.#evaluations.delete(key);
  }

  /** Forgets where the entries of steps before `step` begin. */
  forgetIds(step: number): void {
    for (const first of this.#firstIds.keys()) if (first < step) this.#firstIds.delete(first);
  }

  /** Starts anew from what the server still has, of steps from `keep` on: for a worker that is behind. */
  reread(keep: number): void {
    this.#evaluations.clear();
    this.#keep = keep;
    this.#from = "0";
    this.#behind = true;
    this.latestStep = -1;
  }

  /** Resolves once all that the server had when this began has been read. */
  async upToDate(): Promise<void> {
    while (this.#behind) await this.changed(1000);
  }

  /** How often the server was found to be another process. */
  get restarts(): number {
    return this.#connection.restarts;
  }

  /** Resolves when something was added, or after `milliseconds`. @throws what keeps the log from being read */
  async changed(milliseconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      timer = setTimeout(resolve, milliseconds);
    });
    clearTimeout(timer);
    if (this.#failure) throw this.#failure.error;
  }

  end(): void {
    this.#ended = true;
    this.#connection.end();
  }

  async #follow(): Promise<void> {
    let restarts = 0;
    try {
      while (!this.#ended) {
        const asked = this.#from;
        const wait = this.#behind ? 0 : blockMilliseconds;
        const blocking = wait === 0 ? [] : ["BLOCK", wait];
        const command = ["XREAD", "COUNT", most, ...blocking, "STREAMS", this.#key, asked];
        const reply = await this.#connection.command(command, wait);
        if (this.#connection.restarts !== restarts) {
          // Of a server that lost its last moments, ids may come again.
          restarts = this.#connection.restarts;
          this.#from = "0";
          continue;
        }
        if (reply !== null) this.#take(reply, asked);
        else if (this.#from === asked) this.#behind = false;
        this.#wake();
      }
    } catch (error) {
      if (!this.#ended) this.#failure = { error };
      this.#wake();
    }
  }

  #take(reply: Reply, asked: string): void {
    const [[, entries]] = reply as readonly [
      readonly [Buffer, readonly (readonly [Buffer, readonly Buffer[]])[]],
    ];
    for (const [id, fields] of entries) {
      this.entries++;
      const field = (name: string): Buffer =>
        fields[fields.findIndex((one, i) => i % 2 === 0 && one.toString() === name) + 1];
      const [step, levels] = [Number(field("s")), Number(field("l"))];
      if (!this.#firstIds.has(step)) this.#firstIds.set(step, String(id));
      const bytes = field("b");
      this.bytes += bytes.length;
      let at = 0;
      for (const shard of String(field("k")).split(",").map(Number)) {
        const values = new Float32Array(this.#lengths[shard]);
        const target = new Uint8Array(values.buffer);
        if (at + target.length > bytes.length) throw damaged(String(id));
        target.set(bytes.subarray(at, at + target.length));
        at += target.length;
        this.add(step, levels, shard, values, String(field("d")) === "1");
      }
      if (at !== bytes.length) throw damaged(String(id));
    }
    const last = entries.at(-1);
    // Unless it is to be read anew meanwhile.
    if (last !== undefined && this.#from === asked) this.#from = String(last[0]);
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting = [];
  }
}

const damaged = (id: string): DataError =>
  new DataError(
    `The entry ${id} of the run's log has another length than its shards. Start the run under another name.`,
  );
