import { UsageError } from "../errors.ts";

/** A Redis or Valkey server and the run that is meant on it. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** undefined where the address names a server alone. */
  readonly run: string | undefined;
  /** The address as messages show it, without user and password. */
  readonly shown: string;
}

/** Variables that give user and password where the address does not. */
export const userVariable = "CLP_DD_REDIS_USERNAME";
export const passwordVariable = "CLP_DD_REDIS_PASSWORD";

const expected =
  "Expected redis://HOST:PORT/RUN, or rediss:// for TLS, where RUN is a name of letters, digits, dots, dashes and " +
  `underscores. User and password are given as redis://USER:PASSWORD@HOST:PORT/RUN or in ${userVariable} and ` +
  `${passwordVariable}; a database other than 0 as ?db=N.`;

/**
 * Reads `redis[s]://[user:password@]host[:port]/run[?db=n]`.
 * @param environment such as `process.env`
 * @throws UsageError, which shows no password
 */
export function parseAddress(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): ServerAddress {
  const refused = (why: string) =>
    new UsageError(`"${withoutSecrets(text)}" is not an address of a run: ${why}. ${expected}`);
  // A password with reserved characters that were not escaped would be taken for a host.
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw refused("it is not a URL (escape special characters of a password)");
  if (url.protocol !== "redis:" && url.protocol !== "rediss:") throw refused("its scheme is another");
  if (url.hostname === "") throw refused("it names no host");
  const run = decodeURIComponent(url.pathname.slice(1));
  if (run !== "" && !/^[\w.-]{1,100}$/.test(run)) throw refused(`the name "${run}" is not allowed`);
  const database = Number(url.searchParams.get("db") ?? 0);
  if (!Number.isInteger(database) || database < 0) throw refused("db is not a number");
  const given = (part: string, variable: string) =>
    part === "" ? environment[variable] || undefined : decodeURIComponent(part);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 6379 : Number(url.port),
    tls: url.protocol === "rediss:",
    username: given(url.username, userVariable),
    password: given(url.password, passwordVariable),
    database,
    run: run === "" ? undefined : run,
    shown: `${url.protocol}//${url.host}${run === "" ? "" : `/${run}`}`,
  };
}

/** Like `parseAddress`, of an address that must name a run. */
export function parseRunAddress(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): ServerAddress & { readonly run: string } {
  const { run, ...address } = parseAddress(text, environment);
  if (run === undefined) {
    throw new UsageError(`${address.shown} names no run. ${expected}`);
  }
  return { ...address, run };
}

/** A text with user and password of every server's address in it left out. */
export const withoutSecrets = (text: string): string => text.replace(/\b(rediss?:\/\/)[^/\s]*@/gi, "$1");
