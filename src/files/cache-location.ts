import { homedir } from "node:os";
import { join } from "node:path";

/**
 * The folder features are cached in: `CLP_DD_CACHE` where set, else `clp-dd` in the user's cache folder
 * (`XDG_CACHE_HOME`, `LOCALAPPDATA` on Windows, or `~/.cache`).
 *
 * @param environment such as `process.env`
 * @param home the user's home folder
 */
export function cacheLocation(
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
): string {
  if (environment.CLP_DD_CACHE) return environment.CLP_DD_CACHE;
  return join(environment.XDG_CACHE_HOME || environment.LOCALAPPDATA || join(home, ".cache"), "clp-dd");
}

/** The same for the user of this process. */
export const userCache = (): string => cacheLocation(process.env, homedir());
