import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../errors.ts";
import type { HubLimits } from "./limits.ts";

/** The Hugging Face hub. */
export const publicHub = "https://huggingface.co";

/** How the hub is reached and where its files are kept. */
export interface HubAccess {
  /** Address of the hub or of a mirror, without a slash at its end. */
  readonly hubUrl: string;
  /** Sent to the origin of `hubUrl` and nowhere else. */
  readonly accessToken?: string;
  /** "user:password" for a mirror that asks for them, sent there in place of a token. */
  readonly credentials?: string;
  /** Folder of the cache that all Hugging Face libraries share. */
  readonly cacheDir: string;
  /** Never ask the network. */
  readonly offline: boolean;
  /** Where other deadlines and sizes than the usual are wanted. */
  readonly limits?: Partial<HubLimits>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings that Hugging Face's own libraries read from the environment: HF_ENDPOINT, HF_TOKEN (or the file that
 * `hf auth login` leaves, or HF_TOKEN_PATH), HF_HUB_CACHE or HF_HOME, HF_HUB_OFFLINE.
 *
 * @param cacheDir comes before the environment's
 * @throws UsageError for an HF_ENDPOINT that is not a web address
 */
export function hubAccess(environment: Environment, home: string, cacheDir?: string): HubAccess {
  const hubHome =
    environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(home, ".cache"), "huggingface");
  const accessToken = tokenOf(environment, hubHome);
  return withoutCredentials({
    hubUrl: environment.HF_ENDPOINT || publicHub,
    ...(accessToken ? { accessToken } : {}),
    cacheDir:
      cacheDir || environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE || join(hubHome, "hub"),
    offline: isSet(environment.HF_HUB_OFFLINE) || isSet(environment.TRANSFORMERS_OFFLINE),
  });
}

/** The same for the user of this process. */
export const userHub = (cacheDir?: string): HubAccess => hubAccess(process.env, homedir(), cacheDir);

/**
 * The same settings with user and password taken out of the hub's address, which is written into messages and manifests.
 * @throws UsageError for what is not a web address; the message shows nothing that may be a password
 */
export function withoutCredentials(access: HubAccess): HubAccess {
  const given = access.hubUrl.trim();
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const isPlain = url !== undefined && url.search === "" && url.hash === "" && url.hostname !== "";
  if (!isPlain || !["http:", "https:"].includes(url.protocol)) {
    const shown = /^[\w.:/-]*$/.test(given) ? `"${given}"` : "not shown, since it may hold a password, but";
    throw new UsageError(`HF_ENDPOINT is ${shown} no web address. Expected one such as ${publicHub}.`);
  }
  const { username, password } = url;
  url.username = "";
  url.password = "";
  return {
    ...access,
    hubUrl: url.href.replace(/\/+$/, ""),
    ...(username || password ? { credentials: `${decoded(username)}:${decoded(password)}` } : {}),
  };
}

/**
 * What is sent to the hub's origin for it to know the user; undefined without anything.
 * @throws UsageError for a token that cannot be sent; the message does not show it
 */
export function authorizationOf({ accessToken, credentials }: HubAccess): string | undefined {
  if (credentials !== undefined) return `Basic ${Buffer.from(credentials).toString("base64")}`;
  if (!accessToken) return undefined;
  if (!/^[\x21-\x7e]+$/.test(accessToken)) {
    throw new UsageError(
      "The hub's token holds a line break, a space or another character that no token has (it is not shown here). Copy it " +
        "again into HF_TOKEN, or log in with `hf auth login`.",
    );
  }
  return `Bearer ${accessToken}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Tokens have some forty characters. */
const mostTokenBytes = 64 * 1024;

function tokenOf(environment: Environment, hubHome: string): string | undefined {
  const given = (environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (given) return given;
  try {
    const path = environment.HF_TOKEN_PATH || join(hubHome, "token");
    // A pipe would be waited for, and a device has no end.
    const info = statSync(path);
    return info.isFile() && info.size <= mostTokenBytes
      ? readFileSync(path, "utf8").trim() || undefined
      : undefined;
  } catch {
    return undefined;
  }
}

/** As huggingface_hub reads a switch. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}
