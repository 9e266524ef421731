import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { HUB_URL } from "@huggingface/hub";
import { UsageError } from "../../errors.ts";

/** How the hub is reached and where its files are kept. */
export interface HubAccess {
  /** Address of the hub or of a mirror, without a slash at its end. */
  readonly hubUrl: string;
  readonly accessToken?: string;
  /** Folder of the cache that all Hugging Face libraries share. */
  readonly cacheDir: string;
  /** Never ask the network. */
  readonly offline: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings that Hugging Face's own libraries read from the environment: HF_ENDPOINT, HF_TOKEN (or the file that
 * `hf auth login` leaves, or HF_TOKEN_PATH), HF_HUB_CACHE or HF_HOME, HF_HUB_OFFLINE.
 *
 * @param cacheDir comes before the environment's
 * @throws UsageError for an HF_ENDPOINT that is no web address
 */
export function hubAccess(environment: Environment, home: string, cacheDir?: string): HubAccess {
  const hubHome =
    environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(home, ".cache"), "huggingface");
  const hubUrl = (environment.HF_ENDPOINT || HUB_URL).replace(/\/+$/, "");
  if (!/^https?:\/\/[^/]/.test(hubUrl)) {
    throw new UsageError(`HF_ENDPOINT is "${hubUrl}". Expected a web address, such as ${HUB_URL}.`);
  }
  const accessToken = tokenOf(environment, hubHome);
  return {
    hubUrl,
    ...(accessToken ? { accessToken } : {}),
    cacheDir:
      cacheDir || environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE || join(hubHome, "hub"),
    offline: isSet(environment.HF_HUB_OFFLINE) || isSet(environment.TRANSFORMERS_OFFLINE),
  };
}

/** The same for the user of this process. */
export const userHub = (cacheDir?: string): HubAccess => hubAccess(process.env, homedir(), cacheDir);

function tokenOf(environment: Environment, hubHome: string): string | undefined {
  const given = (environment.HF_TOKEN || environment.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (given) return given;
  try {
    return readFileSync(environment.HF_TOKEN_PATH || join(hubHome, "token"), "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/** As huggingface_hub reads a switch. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && ["1", "ON", "YES", "TRUE"].includes(value.toUpperCase());
}
