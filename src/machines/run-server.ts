import { randomUUID } from "node:crypto";
import * as z from "zod";
import { DataError, ServerError } from "../errors.ts";
import type { ServerAddress } from "./address.ts";
import { RunTerms, WorkerStatus, workerName } from "./run-record.ts";
import { keyPrefix, runKeys, type ScriptName, scripts } from "./scripts.ts";
import type { Argument, Connection, Reply } from "./server.ts";

/** The session's lease has ended: its shards may be others'. */
export class LeaseLost extends Error {
  override name = "LeaseLost";
}

/** A run as the server knows it. */
export interface RunRecord {
  readonly id: string;
  readonly terms: RunTerms;
  readonly state: "running" | "finished";
  /** Step of the latest checkpoint of all shards. */
  readonly generation: number;
}

/** A run and who works on it. */
export interface RunState extends RunRecord {
  readonly name: string;
  readonly workers: readonly (WorkerStatus & { readonly session: string; readonly owned: number })[];
  /** The session that has each shard, alive or not. */
  readonly owners: ReadonlyMap<number, string>;
  /** Shards that nobody who is alive has. */
  readonly unowned: number;
  /** Entries in the log. */
  readonly logged: number;
}

/** What a renewal brings back. */
export interface Renewal {
  readonly workers: number;
  /** Workers that have caught up. */
  readonly ready: number;
  readonly generation: number;
}

/** One call of a script, for whoever holds a connection. */
export function scriptCommand(
  script: ScriptName,
  run: string,
  id: string,
  session: string,
  ...args: Argument[]
): Argument[] {
  const keys = runKeys(run);
  return ["EVAL", scripts[script], keys.length, ...keys, id, session, ...args];
}

/** The reply as text, where it is one. */
export const textOf = (reply: Reply): string | undefined =>
  Buffer.isBuffer(reply) ? reply.toString() : undefined;

const pairs = (reply: Reply): Map<string, string> => {
  const list = (reply as readonly Buffer[]).map(String);
  return new Map(list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]] as const] : [])));
};

function recordOf(fields: ReadonlyMap<string, string>, name: string): RunRecord {
  const parsed = z
    .object({
      id: z.string(),
      terms: z.preprocess((text) => JSON.parse(String(text)), RunTerms),
      state: z.enum(["running", "finished"]),
      generation: z.coerce.number(),
    })
    .safeParse(Object.fromEntries(fields));
  if (parsed.success) return parsed.data;
  throw new DataError(
    `The run ${name} on the server was begun by another version of clp-dd. Use that version, or another name.`,
    { cause: parsed.error },
  );
}

/** The run of this name, begun with these terms where there is none. */
export async function openRun(
  connection: Connection,
  name: string,
  terms: RunTerms,
  generation: number,
): Promise<{ record: RunRecord; began: boolean }> {
  const id = randomUUID();
  const fields = ["id", id, "terms", JSON.stringify(terms), "state", "running", "generation", generation];
  const reply = await connection.command(scriptCommand("open", name, id, "", ...fields));
  const record = recordOf(pairs(reply), name);
  return { record, began: record.id === id };
}

/** The run of this name and who works on it; undefined where there is none. */
export async function readRun(connection: Connection, name: string): Promise<RunState | undefined> {
  const reply = await connection.command(scriptCommand("status", name, "", ""));
  const [fields, alive, statuses, owners, logged] = reply as readonly [Reply, Reply, Reply, Reply, number];
  const record = pairs(fields);
  if (record.size === 0) return undefined;
  const known = recordOf(record, name);
  const status = pairs(statuses);
  const ownerOf = new Map([...pairs(owners)].map(([shard, owner]) => [Number(shard), owner]));
  const workers = (alive as readonly Buffer[]).flatMap((session) => {
    const text = status.get(String(session));
    if (text === undefined) return [];
    const owned = [...ownerOf.values()].filter((owner) => owner === String(session)).length;
    return [{ ...WorkerStatus.parse(JSON.parse(text)), session: String(session), owned }];
  });
  const owned = workers.reduce((sum, worker) => sum + worker.owned, 0);
  return { ...known, name, workers, owners: ownerOf, unowned: known.terms.shards - owned, logged };
}

/** Names of the runs on a server. */
export async function listRuns(connection: Connection): Promise<string[]> {
  const names: string[] = [];
  let cursor = "0";
  do {
    const reply = await connection.command([
      "SCAN",
      cursor,
      "MATCH",
      `${keyPrefix}{*}:record`,
      "COUNT",
      1000,
    ]);
    const [next, keys] = reply as readonly [Buffer, readonly Buffer[]];
    cursor = String(next);
    for (const key of keys) names.push(/\{(.*)\}/.exec(String(key))![1]!);
  } while (cursor !== "0");
  return [...new Set(names)].sort();
}

/** The server's side of one worker: its session, its leases, and what it adds to the log. */
export class RunServer {
  readonly name: string;
  readonly id: string;
  readonly connection: Connection;
  readonly #address: ServerAddress;
  readonly #leaseMilliseconds: number;
  #session: string | undefined;

  constructor(
    connection: Connection,
    address: ServerAddress,
    name: string,
    id: string,
    leaseMilliseconds: number,
  ) {
    this.connection = connection;
    this.#address = address;
    this.name = name;
    this.id = id;
    this.#leaseMilliseconds = leaseMilliseconds;
  }

  get session(): string | undefined {
    return this.#session;
  }

  /** Begins a session, under a name that no other has had: what an older one of this worker held is not its any more. */
  async begin(status: WorkerStatus): Promise<string> {
    const before = this.#session ?? "";
    this.#session = randomUUID();
    await this.#call("begin", this.#leaseMilliseconds, JSON.stringify(status), before);
    return this.#session;
  }

  /** Ends the session. */
  async leave(): Promise<void> {
    if (this.#session !== undefined) await this.#call("leave");
    this.#session = undefined;
  }

  /** Takes up to `most` of `shards` that nobody has; those that it got. */
  async claim(most: number, shards: readonly number[]): Promise<readonly number[]> {
    return (await this.#call("claim", most, ...shards)) as readonly number[];
  }

  async release(shards: readonly number[]): Promise<void> {
    if (shards.length > 0) await this.#call("release", ...shards);
  }

  /** Whether all of `shards` are still this session's. */
  async owns(shards: readonly number[]): Promise<boolean> {
    try {
      await this.#call("owned", ...shards);
      return true;
    } catch (error) {
      if (error instanceof LeaseLost) return false;
      throw error;
    }
  }

  /**
   * Adds features of shards to the log.
   * @param digest of all that the step before came to, which must be the same for every worker
   * @returns the entry's id
   * @throws LeaseLost; DataError where another worker came to other bits
   */
  async publish(entry: {
    readonly step: number;
    readonly levels: number;
    readonly due: boolean;
    readonly digest: string | undefined;
    readonly shards: readonly number[];
    readonly bytes: Uint8Array;
  }): Promise<void> {
    const { step, levels, due, digest, shards, bytes } = entry;
    const of = digest === undefined ? "" : step - 1;
    const reply = await this.#call("publish", step, levels, due ? 1 : 0, of, digest ?? "", bytes, ...shards);
    if (textOf(reply) !== undefined) return;
    const status = textOf((reply as readonly Reply[])[0]);
    const other = status ? WorkerStatus.parse(JSON.parse(status)) : undefined;
    throw new DataError(
      `In step ${step} this worker came to other bits than ${other ? `${workerName(other)} (${other.cpu})` : "another one"} ` +
        "did from the same features, so the two would distill different images. Let workers of one run have " +
        "the same type of CPU and the same version of Node. The others continue.",
    );
  }

  /** Notes that parts of the generation at `step` are saved; how many are, -1 once it was noted as whole. */
  async saved(step: number, parts: readonly (number | string)[]): Promise<number> {
    return (await this.#call("saved", step, ...parts)) as number;
  }

  /** Notes that the generation at `step` is whole; the log before `firstId`, of steps before `firstStep`, goes. */
  async commit(step: number, firstId: string | undefined, firstStep: number): Promise<void> {
    await this.#call("commit", step, firstId ?? "", firstStep);
  }

  /** Ends the sessions of workers that hold leases and make no progress. */
  async evict(sessions: readonly string[]): Promise<void> {
    if (sessions.length > 0) await this.#call("evict", ...sessions);
  }

  /** Asks to be the one that writes the result: "writer", "finished" once it is written, or who writes it. */
  async writer(): Promise<"writer" | "finished" | WorkerStatus> {
    const reply = await this.#call("writer");
    const text = textOf(reply);
    if (text !== undefined) return text as "writer" | "finished";
    return WorkerStatus.parse(JSON.parse(textOf((reply as readonly Reply[])[0]) || "{}"));
  }

  async finish(): Promise<void> {
    await this.#call("finish");
  }

  async #call(script: ScriptName, ...args: Argument[]): Promise<Reply> {
    const session = this.#session;
    if (session === undefined) throw new LeaseLost("no session");
    const reply = await this.connection.command(scriptCommand(script, this.name, this.id, session, ...args));
    const text = textOf(reply);
    if (text === "lost") throw new LeaseLost(`the lease of ${session} has ended`);
    if (text === "gone") throw runGone(this.#address);
    return reply;
  }
}

/** The server has lost the run, or another one has its name. */
export const runGone = (address: ServerAddress): ServerError =>
  new ServerError(
    `The server ${address.shown} no longer knows this run: it was restarted without its data, or the run was replaced. ` +
      "Start the same command again with `resume: true`: it continues from the last checkpoint of all shards.",
  );
