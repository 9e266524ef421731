import { hostname } from "node:os";
import { ClpError, messageOf, ServerError, UsageError } from "../errors.ts";
import { type ServerAddress, withoutSecrets } from "./address.ts";

/** What is sent to the server. */
export type Argument = string | number | Uint8Array;

/** What the server replies: strings come as bytes. */
export type Reply = Buffer | number | null | readonly Reply[];

export interface ConnectionOptions {
  /** What the connection is for, as messages and the server's own list of clients name it. */
  readonly purpose: string;
  /** Seconds for which the server may be silent before the work is given up. */
  readonly patience: number;
}

/** Milliseconds that one command may take, beside what it waits for by itself. */
const answerMilliseconds = 10_000;
/** Milliseconds between two tries to reach the server. */
const retryMilliseconds = 500;

/** The part of a client of npm `redis` that is used. */
interface Client {
  sendCommand(args: readonly (string | Buffer)[]): Promise<unknown>;
  destroy(): void;
}

/**
 * One connection to the server, made anew whenever it breaks. A command is sent again until the server has answered or
 * `patience` is over, so it must be one that may be carried out twice.
 */
export class Connection {
  readonly #address: ServerAddress;
  readonly #options: ConnectionOptions;
  #client: Client | undefined;
  #process: string | undefined;
  #ended = false;
  /** How often the server was found to be another process than before. */
  restarts = 0;

  constructor(address: ServerAddress, options: ConnectionOptions) {
    this.#address = address;
    this.#options = options;
  }

  /**
   * The server's reply to a command.
   * @param blocks milliseconds for which the command itself waits
   * @throws ServerError when the server does not answer in time, or refuses the command
   */
  async command(args: readonly Argument[], blocks = 0): Promise<Reply> {
    const { patience, purpose } = this.#options;
    const deadline = performance.now() + 1000 * patience;
    for (;;) {
      try {
        const client = this.#client ?? (await this.#connected());
        const sent = args.map((arg) => (typeof arg === "number" ? String(arg) : asSent(arg)));
        return (await inTime(client.sendCommand(sent), answerMilliseconds + blocks)) as Reply;
      } catch (error) {
        if (error instanceof ClpError) throw error;
        if (isRefusal(error)) throw this.#refused(error);
        if (isUntrusted(error)) throw this.#untrusted(error);
        this.#forget();
        if (this.#ended || performance.now() > deadline) {
          throw new ServerError(
            `The server ${this.#address.shown} did not answer for ${patience} s (${purpose}): ` +
              `${withoutSecrets(messageOf(error))}. See that it runs and can be reached from ${hostname()}; ` +
              "then start the same command again, with `resume: true` if the server has lost its data.",
            { cause: error },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
      }
    }
  }

  /** Ends the connection; commands under way fail. */
  end(): void {
    this.#ended = true;
    this.#forget();
  }

  #forget(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }

  async #connected(): Promise<Client> {
    const { createClient, RESP_TYPES } = await import("redis");
    const { host, port, tls, username, password, database } = this.#address;
    const client = createClient({
      RESP: 2,
      socket: {
        host,
        port,
        ...(tls ? { tls: true as const } : {}),
        connectTimeout: answerMilliseconds,
        reconnectStrategy: false,
      },
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      database,
      name: `clp-dd-${this.#options.purpose.replaceAll(" ", "-")}`,
      disableOfflineQueue: true,
      commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    });
    // Without a listener an error would end the process; the command under way reports it.
    client.on("error", () => {});
    const open: Client = {
      sendCommand: (args) => client.sendCommand(args),
      destroy: () => {
        if (client.isOpen) client.destroy();
      },
    };
    try {
      await inTime(client.connect(), answerMilliseconds);
      await this.#look(open);
    } catch (error) {
      open.destroy();
      throw error;
    }
    this.#client = open;
    return open;
  }

  /** Sees whether the server is the one from before, and keeps what it is given. */
  async #look(client: Client): Promise<void> {
    const info = async (section: string) =>
      String(await inTime(client.sendCommand(["INFO", section]), answerMilliseconds));
    const field = (text: string, name: string) =>
      new RegExp(`^${name}:(.*)\r?$`, "m").exec(text)?.[1]?.trim();
    const policy = field(await info("memory"), "maxmemory_policy");
    if (policy !== undefined && policy !== "noeviction") {
      throw new UsageError(
        `The server ${this.#address.shown} drops data when its memory is full (maxmemory-policy ${policy}), and a run ` +
          "would lose features. Set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction.",
      );
    }
    const server = await info("server");
    const version = Number.parseFloat(field(server, "redis_version") ?? "");
    if (version < 6.2) {
      throw new UsageError(
        `The server ${this.#address.shown} is of version ${field(server, "redis_version")}. Use Redis 6.2 or later, or Valkey.`,
      );
    }
    const run = field(server, "run_id");
    if (this.#process !== undefined && run !== this.#process) this.restarts++;
    this.#process = run;
  }

  #untrusted(error: Error): ServerError {
    return new ServerError(
      `The certificate of the server ${this.#address.shown} is not trusted here: ${withoutSecrets(error.message)}. Give the file ` +
        "with the certificate of its authority in NODE_EXTRA_CA_CERTS, and the server by a name that its own certificate has.",
      { cause: error },
    );
  }

  #refused(error: Error): ServerError {
    const said = withoutSecrets(error.message);
    const advice = /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password)/.test(said)
      ? "Give user and password in the address, or in CLP_DD_REDIS_USERNAME and CLP_DD_REDIS_PASSWORD."
      : said.startsWith("OOM")
        ? "Raise its maxmemory: a run keeps the features of all steps since the last checkpoint but one."
        : "See the server's log.";
    return new ServerError(`The server ${this.#address.shown} refuses: ${said} ${advice}`, { cause: error });
  }
}

const asSent = (value: string | Uint8Array): string | Buffer =>
  typeof value === "string" ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);

/** Whether the server has answered with an error that another try will not change. */
function isRefusal(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return (
    /^(WRONGPASS|NOAUTH|NOPERM|OOM|WRONGTYPE|ERR|NOPROTO|DENIED|READONLY|MISCONF|CROSSSLOT)\b/.test(
      error.message,
    ) && !/^ERR max number of clients/.test(error.message)
  );
}

/** Whether TLS has failed over the server's certificate, which another try will not change. */
function isUntrusted(error: unknown): error is Error {
  const { code } = error as NodeJS.ErrnoException;
  return (
    error instanceof Error &&
    /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT_)/.test(code ?? "")
  );
}

async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${milliseconds / 1000} s`)), milliseconds);
  });
  work.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
