/** What a hub is given up at. */
export interface HubLimits {
  /** Seconds until an answer begins: to connect, send and wait. */
  readonly answerSeconds: number;
  /** Seconds between two pieces of an answer. */
  readonly idleSeconds: number;
  /** Seconds for the whole of an answer that is not a file. */
  readonly totalSeconds: number;
  /** Bytes per second that a file has to come with, and over how many seconds that is measured. */
  readonly leastSpeed: number;
  readonly speedSeconds: number;
  /** Bytes of an answer that is not a file, decompressed. */
  readonly answerBytes: number;
  /** Pages of a listing, and redirects of one request. */
  readonly pages: number;
  readonly redirects: number;
}

const usual: HubLimits = {
  answerSeconds: 30,
  idleSeconds: 30,
  totalSeconds: 120,
  leastSpeed: 1024,
  speedSeconds: 60,
  answerBytes: 16 * 2 ** 20,
  pages: 1000,
  redirects: 10,
};

/** The usual limits but for those that are given. */
export const limitsOf = (given: Partial<HubLimits> | undefined): HubLimits => ({ ...usual, ...given });

/** An answer that did not come, or stopped coming, within its time. */
export class TooSlow extends Error {
  override name = "TooSlow";
}

/**
 * The pieces of an answer's body, each within its time.
 * @param totalSeconds for all of them
 * @throws TooSlow; what the connection throws
 */
export async function* piecesOf(
  { body }: Response,
  idleSeconds: number,
  totalSeconds = Number.POSITIVE_INFINITY,
): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  const end = performance.now() + 1000 * totalSeconds;
  try {
    for (;;) {
      const left = (end - performance.now()) / 1000;
      const seconds = Math.max(0, Math.min(idleSeconds, left));
      const what =
        left < idleSeconds ? `is not whole after ${totalSeconds} s` : `stopped for ${idleSeconds} s`;
      const { done, value } = await within(reader.read(), seconds, what);
      if (done) return;
      yield value;
    }
  } finally {
    // Ends the connection where not all was taken.
    await reader.cancel().catch(() => undefined);
  }
}

async function within<T>(work: Promise<T>, seconds: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TooSlow(`the answer ${what}`)), 1000 * seconds);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
