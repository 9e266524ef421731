import type { PartialContext } from "../../context.ts";
import {
  attempts,
  firstWait,
  interrupted,
  longestWait,
  pause,
  secondsAsked,
  unreachable,
} from "./request.ts";
import { authorizationOf, type HubAccess, withoutCredentials } from "./settings.ts";

/** How requests that change something are sent. */
export interface PublishFetchOptions {
  /** The error for an answer that ends the matter; the text is the server's reason, where it gives one. */
  readonly refusal: (response: Response, wait: number | undefined, text: string) => Error;
  /** Statuses that are handed back as they are. */
  readonly passed: readonly number[];
  /** Whether a request that was not answered may be sent again: one that changes something may have arrived. */
  readonly repeats: (url: string) => boolean;
}

/**
 * The `fetch` that uploads use: what identifies the user is sent to the origin of the hub's address and nowhere else, no
 * redirect is followed, and a busy or broken server is asked again as for downloads (request.ts).
 * @throws UnreachableError where no answer came; what `refusal` makes of an answer that ends the matter; InterruptedError
 */
export function publishFetch(
  id: string,
  given: HubAccess,
  context: PartialContext,
  { refusal, passed, repeats }: PublishFetchOptions,
): typeof fetch {
  const access = withoutCredentials(given);
  const authorization = authorizationOf(access);
  const { origin } = new URL(access.hubUrl);
  return async (input, init) => {
    const url = String(input);
    const headers = new Headers(init?.headers);
    headers.delete("authorization");
    if (authorization !== undefined && new URL(url).origin === origin) {
      headers.set("authorization", authorization);
    }
    const signals = [init?.signal, context.signal].filter((signal) => signal instanceof AbortSignal);
    for (let attempt = 1; ; attempt++) {
      let response: Response;
      try {
        response = await fetch(url, {
          ...init,
          headers,
          redirect: "manual",
          signal: signals.length > 0 ? AbortSignal.any(signals) : null,
        });
      } catch (error) {
        if (context.signal?.aborted) throw interrupted(id);
        // Without an answer a second try is enough to distinguish a hiccup from a missing network.
        if (attempt >= (repeats(url) ? 2 : 1)) throw unreachable(id, access, error);
        await pause(firstWait, id, context.signal);
        continue;
      }
      if (response.ok || passed.includes(response.status)) return response;
      const busy = response.status === 429 || response.status >= 500;
      const asked = secondsAsked(response.headers.get("retry-after"));
      const wait = asked ?? firstWait * 2 ** (attempt - 1);
      if (!busy || attempt >= attempts || wait > longestWait) {
        throw refusal(response, asked, await reasonIn(response));
      }
      await response.body?.cancel().catch(() => undefined);
      if (wait >= 2) context.note?.(`The hub asks to wait ${Math.ceil(wait)} s for ${id}.`);
      await pause(wait, id, context.signal);
    }
  };
}

/** Characters of a server's reason that are shown. */
const mostReason = 300;

/** What a server says of its refusal: the `error` of its JSON, in one short line. */
async function reasonIn(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    const reason = String(error ?? message ?? "");
    return reason.replaceAll(/[\s\p{Cc}]+/gu, " ").slice(0, mostReason);
  } catch {
    return "";
  }
}
