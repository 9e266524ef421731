import { setTimeout as sleep } from "node:timers/promises";
import type { PartialContext } from "../../context.ts";
import { DownloadError, InterruptedError, messageOf } from "../../errors.ts";
import type { HubAccess } from "./settings.ts";

/** The hub could not be spoken to at all: no network, no such host, a broken connection. */
export class UnreachableError extends DownloadError {
  override name = "DownloadError";
}

/** Requests of one file or listing, before giving up. */
const attempts = 4;
/** Longest wait that a server may ask for, in seconds; above it the person decides. */
const longestWait = 60;
const firstWait = 0.5;

/**
 * A `fetch` for one repository: sends the token to the hub alone, waits and asks again where the hub is busy (429, with its Retry-After) or broken
 * (5xx), and turns every other failure into an error that says what to do.
 *
 * @throws UnreachableError where no answer came; DownloadError for an answer that ends the matter;
 *   InterruptedError when the signal was given
 */
export function hubFetch(id: string, access: HubAccess, context: PartialContext): typeof fetch {
  const authorization = access.accessToken ? `Bearer ${access.accessToken}` : undefined;
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    // Redirects leave it behind: the storage is of another origin.
    if (authorization && String(input).startsWith(`${access.hubUrl}/`)) {
      headers.set("authorization", authorization);
    }
    for (let attempt = 1; ; attempt++) {
      let response: Response | undefined;
      let failure: unknown;
      try {
        response = await fetch(input, {
          ...init,
          headers,
          ...(context.signal ? { signal: context.signal } : {}),
        });
      } catch (error) {
        if (context.signal?.aborted) throw interrupted(id);
        failure = error;
      }
      if (response !== undefined && (response.ok || response.status === 416)) return response;
      const busy = response === undefined || response.status === 429 || response.status >= 500;
      const asked = secondsAsked(response?.headers.get("retry-after"));
      const wait = asked ?? firstWait * 2 ** (attempt - 1);
      // Without an answer a second try is enough to distinguish a hiccup from a missing network.
      const last = response === undefined ? 2 : attempts;
      if (!busy || attempt >= last || wait > longestWait) {
        await response?.body?.cancel().catch(() => undefined);
        if (response === undefined) throw unreachable(id, access, failure);
        throw refused(id, access, response, asked);
      }
      await response?.body?.cancel().catch(() => undefined);
      if (wait >= 2) context.note?.(`The hub asks to wait ${Math.ceil(wait)} s for ${id}.`);
      await pause(wait, id, context.signal);
    }
  };
}

async function pause(seconds: number, id: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(1000 * seconds, undefined, signal ? { signal } : {});
  } catch {
    throw interrupted(id);
  }
}

/** Retry-After: seconds, or a date. */
function secondsAsked(header: string | null | undefined): number | undefined {
  if (!header) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

/** What is thrown when the user stops a download. */
export function interrupted(id: string): InterruptedError {
  return new InterruptedError(`Stopped fetching ${id}. What has arrived is kept; the same command resumes.`);
}

/** What answers is not a hub: a network's login page, say, or a wrong HF_ENDPOINT. */
export function notUnderstood(id: string, { hubUrl }: HubAccess, error: unknown): DownloadError {
  return new DownloadError(
    `The answers of ${hubUrl} for ${id} cannot be understood (${causesOf(error)}). Is it a hub? ` +
      "Check HF_ENDPOINT and the network, and try again.",
    { cause: error },
  );
}

/** The chain of causes in one line: `fetch failed` alone says nothing. */
export function causesOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const inner = cause instanceof AggregateError ? cause.errors[0] : cause;
  return inner === undefined ? messageOf(error) : `${messageOf(error)}: ${messageOf(inner)}`;
}

function unreachable(id: string, { hubUrl }: HubAccess, error: unknown): UnreachableError {
  return new UnreachableError(`${hubUrl} cannot be reached for ${id} (${causesOf(error)}).`, {
    cause: error,
  });
}

function refused(id: string, access: HubAccess, response: Response, wait?: number): DownloadError {
  const { status } = response;
  const page = `${access.hubUrl}/${id}`;
  const code = response.headers.get("x-error-code");
  const token = access.accessToken
    ? "the token that was sent (HF_TOKEN) has no access"
    : "no token was sent (set HF_TOKEN, or log in with `hf auth login`)";
  if (status === 401 || status === 403) {
    return new DownloadError(
      code === "RepoNotFound"
        ? `There is no repository ${id} on the hub (${status}), or it is private and ${token}. Check the name at ${page}.`
        : `${id} is not open to everyone (${status}), and ${token}. Accept its license at ${page}, make a token ` +
            "with read access in your account's settings, and give it as HF_TOKEN.",
    );
  }
  if (status === 404) {
    return new DownloadError(
      code === "RevisionNotFound"
        ? `${id} has no such revision (404). Expected a branch, a tag or a commit: see ${page}/commits.`
        : `The hub has no ${new URL(response.url).pathname} (404). Check the name ${id} and \`revision\`.`,
    );
  }
  if (status === 429) {
    return new DownloadError(
      `The hub answers too many requests (429) for ${id}. Try again ` +
        `${wait === undefined ? "in some minutes" : `in ${Math.ceil(wait)} s`}; with HF_TOKEN set the limit is higher.`,
    );
  }
  return new DownloadError(`The hub answers ${status} for ${id}. Try again later; what has arrived is kept.`);
}
