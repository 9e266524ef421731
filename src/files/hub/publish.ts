import { pathToFileURL } from "node:url";
import {
  type CommitOperation,
  commitIter,
  createRepo,
  datasetInfo,
  listFiles,
  modelInfo,
} from "@huggingface/hub";
import type { PartialContext } from "../../context.ts";
import { DownloadError, InterruptedError, UsageError } from "../../errors.ts";
import { untilAnswered } from "./request.ts";
import { authorizationOf, type HubAccess } from "./settings.ts";

/** A file of a repository to be. */
export interface FileToPublish {
  /** Its path in the repository. */
  readonly path: string;
  /** Where it is on this machine. */
  readonly file: string;
  readonly bytes: number;
}

/** What is published, and how. */
export interface Publication {
  readonly kind: "dataset" | "model";
  /** owner/name. */
  readonly name: string;
  readonly files: readonly FileToPublish[];
  /** Title of the commit. */
  readonly title: string;
  /** Visible to everyone; default: to the owner alone. */
  readonly isPublic: boolean;
  /** Replace what is in a repository that has files already. */
  readonly overwrite: boolean;
}

export interface Published {
  /** The repository's page. */
  readonly url: string;
  /** Hash of the commit. */
  readonly commit: string;
  /** Whether the repository was made by this call. */
  readonly created: boolean;
  readonly isPrivate: boolean;
}

/** Files that the hub itself makes. */
const hubsOwn = new Set([".gitattributes"]);
/** Refused, handed back as it is: the repository exists. */
const exists = 409;

/**
 * Uploads files as one commit of a repository of the hub, which is made where there is none. Large files go first, to the
 * hub's storage, where nobody sees them; the commit at the end is what publishes, all or nothing. What the repository has
 * beside them is deleted by the same commit. The token is sent to the hub's own address alone.
 * @throws UsageError without a token or offline, or for a repository whose files or visibility would be a surprise;
 *   DownloadError for what the hub refuses, saying what was published (nothing) and what to do; InterruptedError
 */
export async function publish(
  publication: Publication,
  access: HubAccess,
  context: PartialContext = {},
): Promise<Published> {
  const { kind, name, files, isPublic } = publication;
  requireAccess(access);
  const page = `${access.hubUrl}/${kind === "dataset" ? "datasets/" : ""}${name}`;
  let sent = 0;
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const onSent = (bytes: number) => {
    sent = Math.min(total, sent + bytes);
    context.progress?.({ stage: `Uploading to ${name}`, done: sent, total, unit: "bytes" });
  };
  const repo = { type: kind, name };
  const state: State = { created: false, committed: "no" };
  const request = {
    hubUrl: access.hubUrl,
    fetch: publishingFetch(publication, access, context, onSent, state),
  };
  try {
    state.created = await makeRepository(publication, access, request.fetch);
    const { isPrivate, head } = await stateOf(publication, request);
    const present = await filesIn(repo, request);
    if (!state.created) requireExpected(publication, page, isPrivate, present, context);
    const kept = new Set(files.map(({ path }) => path));
    const operations: CommitOperation[] = [
      ...files.map(({ path, file }) => {
        return { operation: "addOrUpdate" as const, path, content: pathToFileURL(file) };
      }),
      ...present.filter((path) => !kept.has(path)).map((path) => ({ operation: "delete" as const, path })),
    ];
    const { title } = publication;
    onSent(0);
    // The storage of Git LFS takes files whole; parentCommit lets no commit that came in between be undone.
    const commit = commitIter({ ...request, repo, title, operations, parentCommit: head, useXet: false });
    let step = await commit.next();
    while (!step.done) step = await commit.next();
    if (step.value === undefined)
      throw new DownloadError(`The hub gives no commit for ${name}. See ${page}.`);
    onSent(total);
    return { url: page, commit: step.value.commit.oid, created: state.created, isPrivate };
  } catch (error) {
    throw failure(error, page, state, isPublic);
  }
}

/** How far a publication has come. */
interface State {
  created: boolean;
  /** "perhaps": the commit was sent, and no answer says what became of it. */
  committed: "no" | "perhaps";
}

function requireAccess({ accessToken, offline }: HubAccess): void {
  if (offline) {
    throw new UsageError("HF_HUB_OFFLINE is set, and publishing needs the network. Unset it.");
  }
  if (accessToken === undefined) {
    throw new UsageError(
      "Publishing needs a token with write access. Make one in your account's settings on the hub, and set HF_TOKEN " +
        "or log in with `hf auth login`.",
    );
  }
}

/** Makes the repository; false where it exists. */
async function makeRepository(
  { kind, name, isPublic }: Publication,
  { hubUrl, accessToken }: HubAccess,
  own: typeof fetch,
): Promise<boolean> {
  let found = false;
  const visibility = isPublic ? "public" : "private";
  const fetching: typeof fetch = async (input, init) => {
    const response = await own(input, init);
    if (response.status !== exists) return response;
    found = true;
    await response.body?.cancel();
    return Response.json({ url: "", id: name });
  };
  // The library insists on a token here; it goes to the hub's address like every other.
  const repo = { type: kind, name };
  await createRepo({ repo, visibility, hubUrl, accessToken: accessToken ?? "", fetch: fetching });
  return !found;
}

interface Request {
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
}

async function stateOf({ kind, name }: Publication, request: Request) {
  const asked = { ...request, name, additionalFields: ["sha" as const] };
  const info = kind === "dataset" ? await datasetInfo(asked) : await modelInfo(asked);
  return { isPrivate: Boolean(info.private), head: info.sha };
}

async function filesIn(repo: { type: "dataset" | "model"; name: string }, request: Request) {
  const paths: string[] = [];
  for await (const { type, path } of listFiles({ ...request, repo, recursive: true })) {
    if (type === "file" && !hubsOwn.has(path)) paths.push(path);
  }
  return paths;
}

/** Throws UsageError where a repository that exists is not what a person who runs this would think it is. */
function requireExpected(
  { name, isPublic, overwrite }: Publication,
  page: string,
  isPrivate: boolean,
  present: readonly string[],
  context: PartialContext,
): void {
  if (!isPrivate && !isPublic) {
    throw new UsageError(
      `${name} exists and is public: everyone would see what is uploaded. Give \`public: true\` if that is wanted, ` +
        `make it private at ${page}/settings, or choose another name.`,
    );
  }
  if (present.length > 0 && !overwrite) {
    throw new UsageError(
      `${name} exists and has files already (${present.slice(0, 3).join(", ")}${present.length > 3 ? ", …" : ""}). Give ` +
        "`overwrite: true` to replace all of them, or choose another name.",
    );
  }
  if (isPrivate && isPublic)
    context.note?.(`${name} exists and stays private. Make it public at ${page}/settings.`);
}

/** The transport: what is uploaded is counted, and refusals are worded for those who publish. */
function publishingFetch(
  { name }: Publication,
  access: HubAccess,
  context: PartialContext,
  onSent: (bytes: number) => void,
  state: State,
): typeof fetch {
  let refused: number | undefined;
  const { origin } = new URL(access.hubUrl);
  const authorization = authorizationOf(access);
  const own = (url: string, init: RequestInit | undefined): Promise<Response> => {
    const headers = new Headers(init?.headers);
    // Redirects leave it behind: the storage is of another origin.
    if (authorization && new URL(url).origin === origin) headers.set("authorization", authorization);
    const signals = [init?.signal, context.signal].filter((signal) => signal != null);
    const signal = signals.length > 0 ? { signal: AbortSignal.any(signals) } : {};
    return untilAnswered(
      name,
      access,
      context,
      () => fetch(url, { ...init, headers, ...signal }),
      async (response, wait) => {
        refused = response.status;
        return refusal(name, access, response, wait, await reasonIn(response));
      },
      { passed: [exists], repeats: !isCommit(url) },
    );
  };
  return async (input, init) => {
    refused = undefined;
    const url = input instanceof Request ? input.url : String(input);
    const response = await own(url, init).catch((error: unknown) => {
      // A refusal of the request itself leaves nothing; anything else may have come too late to hear of it.
      if (isCommit(url) && (refused === undefined || refused >= 500)) state.committed = "perhaps";
      throw error;
    });
    if (response.status === exists && !url.endsWith("/api/repos/create")) {
      throw refusal(name, access, response, undefined, "");
    }
    if (init?.method === "PUT" && init.body instanceof Blob) onSent(init.body.size);
    return response;
  };
}

const isCommit = (url: string): boolean => /\/api\/(models|datasets)\/[^/]+\/[^/]+\/commit\//.test(url);

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

/** Why the hub does not take something, and what to do. */
function refusal(
  name: string,
  { hubUrl }: HubAccess,
  { status, url }: Response,
  wait: number | undefined,
  text: string,
): DownloadError {
  const said = text === "" ? "" : ` It says: ${text}`;
  const owner = name.split("/")[0];
  const words = (): string => {
    if (new URL(url || hubUrl).origin !== new URL(hubUrl).origin) {
      return `The hub's storage refuses an upload (${status}). Try again.`;
    }
    if (status === 401) {
      return (
        `The hub does not accept the token (401). Make one with write access at ${hubUrl}/settings/tokens and set ` +
        `HF_TOKEN, or log in again with \`hf auth login\`.${said}`
      );
    }
    if (status === 403) {
      return (
        `The token may not write to ${name} (403). Expected a token with write access, of a member of ${owner}: make one at ` +
        `${hubUrl}/settings/tokens, or publish under your own name.${said}`
      );
    }
    if (status === 404)
      return `The hub has no ${name} that this token can see (404). Check owner and name.${said}`;
    if (status === 409 || status === 412) {
      return `${name} was changed by someone else meanwhile (${status}). Look at it, and run the same again.${said}`;
    }
    if (status === 429) {
      const later = wait === undefined ? "in some minutes" : `in ${Math.ceil(wait)} s`;
      return `The hub answers too many requests (429). Try again ${later}.`;
    }
    if (status >= 500) return `The hub answers ${status}: it is broken or busy. Try again later.${said}`;
    return `The hub refuses this (${status}).${said}`;
  };
  return new DownloadError(words());
}

/** An error with what it leaves behind. */
function failure(error: unknown, page: string, { created, committed }: State, isPublic: boolean): unknown {
  if (error instanceof UsageError) return error;
  const left =
    committed === "perhaps"
      ? ` Whether the commit arrived is not known: look at ${page} before the same is run again.`
      : created
        ? ` Nothing was published; the repository ${page} is there, ${isPublic ? "public" : "private"} and without files. ` +
          "The same command continues with it."
        : " Nothing was published.";
  if (error instanceof InterruptedError) return new InterruptedError(`Stopped uploading.${left}`);
  if (error instanceof DownloadError) return new DownloadError(`${error.message}${left}`, { cause: error });
  return error;
}
