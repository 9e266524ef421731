import type { PartialContext } from "../../context.ts";
import { untilAnswered } from "./request.ts";
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
    const signal = signals.length > 0 ? AbortSignal.any(signals) : null;
    return untilAnswered(
      id,
      access,
      context,
      () => fetch(url, { ...init, headers, redirect: "manual", signal }),
      async (response, wait) => refusal(response, wait, await reasonIn(response)),
      { passed, repeats: repeats(url) },
    );
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
