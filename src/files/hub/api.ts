/**
 * What is asked of the hub's interface: the commit of a revision, what it says of files, and listings. Every answer is
 * read up to a size and within a time, and checked before any of it is used.
 */
import * as z from "zod";
import type { PartialContext } from "../../context.ts";
import { ClpError, DownloadError, messageOf } from "../../errors.ts";
import { limitsOf, piecesOf } from "./limits.ts";
import {
  causesOf,
  type HubFetch,
  type HubRequest,
  hubFetch,
  interrupted,
  notUnderstood,
  UnreachableError,
} from "./request.ts";
import type { HubAccess } from "./settings.ts";

/** A repository of the hub. */
export interface Repository {
  readonly type: "model" | "dataset";
  /** owner/name. */
  readonly id: string;
}

const Revision = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/, "expected a commit") });

/** A file or folder as the hub describes it. Sizes are whole numbers of bytes. */
const Entry = z.object({
  type: z.string(),
  path: z.string(),
  size: z.int().nonnegative().nullish(),
  /** Git's name of the content. */
  oid: z.string().nullish(),
  /** Of a large file: the SHA-256 and size of its content. */
  lfs: z.object({ oid: z.string(), size: z.int().nonnegative() }).nullish(),
  xetHash: z.string().nullish(),
});
export type HubEntry = z.infer<typeof Entry>;

const Discussions = z.object({
  discussions: z
    .array(
      z.object({
        num: z.unknown(),
        isPullRequest: z.boolean().optional(),
        author: z.object({ name: z.string().optional() }).optional(),
      }),
    )
    .optional(),
});

/** The hub's interface for one repository. */
export class HubApi {
  readonly #access: HubAccess;
  readonly #context: PartialContext;
  readonly #fetch: HubFetch;
  readonly #id: string;
  readonly #base: string;

  constructor({ type, id }: Repository, access: HubAccess, context: PartialContext) {
    this.#access = access;
    this.#context = context;
    this.#id = type === "dataset" ? `datasets/${id}` : id;
    this.#fetch = hubFetch(this.#id, access, context);
    this.#base = `${access.hubUrl}/api/${type}s/${id}`;
  }

  /** The commit that a branch, tag or reference is at: 40 hexadecimal digits. */
  async commitOf(revision: string): Promise<string> {
    const address = `${this.#base}/revision/${encodeURIComponent(revision)}?expand=sha`;
    return (await this.#json(Revision, address)).value.sha;
  }

  /** What the hub says of those of `paths` that there are. */
  async entriesOf(commit: string, paths: readonly string[]): Promise<HubEntry[]> {
    const request: HubRequest = {
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/json" },
      body: JSON.stringify({ paths, expand: false }),
    };
    return (await this.#json(z.array(Entry), `${this.#base}/paths-info/${commit}`, request)).value;
  }

  /**
   * What is in a folder of a commit ("" for all of it), page by page.
   * @throws DownloadError for a listing without an end, or one that goes on at another host
   */
  async *list(commit: string, folder: string, recursive: boolean): AsyncGenerator<HubEntry> {
    const { pages } = limitsOf(this.#access.limits);
    const inner = folder === "" ? "" : `/${folder.split("/").map(encodeURIComponent).join("/")}`;
    const seen = new Set<string>();
    let next: string | undefined = `${this.#base}/tree/${commit}${inner}?recursive=${recursive}&expand=false`;
    while (next !== undefined) {
      if (seen.has(next) || seen.size >= pages) {
        throw new DownloadError(
          `The listing of ${this.#id} has no end: ${seen.size} pages were read, and the last leads ` +
            `${seen.has(next) ? "back to one of them" : "to another"}. Is ${this.#access.hubUrl} a hub? Check HF_ENDPOINT.`,
        );
      }
      seen.add(next);
      const { value, link }: { value: HubEntry[]; link: string | null } = await this.#json(
        z.array(Entry),
        next,
      );
      yield* value;
      next = this.#nextPage(link, next);
    }
  }

  /** The number of the open pull request in which the hub's bot offers safetensors. */
  async conversion(): Promise<number | undefined> {
    const address = `${this.#base}/discussions?type=pull_request&status=open&author=SFconvertbot`;
    const { discussions = [] } = (await this.#json(Discussions, address)).value;
    const found = discussions.find(
      ({ num, isPullRequest, author }) =>
        isPullRequest === true && author?.name === "SFconvertbot" && Number.isInteger(num),
    );
    return found === undefined ? undefined : Number(found.num);
  }

  /** The address of the next page, as the header `Link` gives it; a hub's listing stays at the hub. */
  #nextPage(link: string | null, base: string): string | undefined {
    const address = link === null ? undefined : /<([^>]*)>\s*;\s*rel="?next"?/.exec(link)?.[1];
    if (address === undefined) return undefined;
    const url = URL.canParse(address, base) ? new URL(address, base) : undefined;
    if (url?.origin === new URL(base).origin) return url.href;
    throw new DownloadError(
      `The listing of ${this.#id} goes on at ${url?.origin ?? "no web address"}, and not at ${this.#access.hubUrl}: it is not ` +
        "followed. Check HF_ENDPOINT.",
    );
  }

  async #json<Value>(
    schema: z.ZodType<Value>,
    address: string,
    request: HubRequest = { headers: { accept: "application/json" } },
  ): Promise<{ value: Value; link: string | null }> {
    const response = await this.#fetch(address, request);
    const text = await this.#textOf(response);
    try {
      const parsed = schema.safeParse(JSON.parse(text));
      if (parsed.success) return { value: parsed.data, link: response.headers.get("link") };
      throw new Error(z.prettifyError(parsed.error));
    } catch (error) {
      throw notUnderstood(this.#id, this.#access, error);
    }
  }

  async #textOf(response: Response): Promise<string> {
    const { idleSeconds, totalSeconds, answerBytes } = limitsOf(this.#access.limits);
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const piece of piecesOf(response, idleSeconds, totalSeconds)) {
        bytes += piece.length;
        if (bytes > answerBytes) {
          throw new DownloadError(
            `${this.#access.hubUrl} answers with more than ${answerBytes} bytes for ${this.#id}, which no hub does. Check HF_ENDPOINT.`,
          );
        }
        pieces.push(piece);
      }
    } catch (error) {
      if (this.#context.signal?.aborted) throw interrupted(this.#id);
      if (error instanceof ClpError) throw error;
      throw new UnreachableError(
        `The answer of ${this.#access.hubUrl} for ${this.#id} breaks off (${causesOf(error)}).`,
        { cause: error },
      );
    }
    return Buffer.concat(pieces).toString("utf8");
  }
}

/** Whether an error says that the hub does not have what was asked for. */
export function isMissing(error: unknown): boolean {
  return error instanceof DownloadError && /\(404\)/.test(messageOf(error));
}

/** The folder of a repository in the cache that all Hugging Face libraries share. */
export function cacheName({ type, id }: Repository): string {
  return [`${type}s`, ...id.split("/")].join("--");
}
