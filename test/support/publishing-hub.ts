import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository of the server: what its last commit holds. */
export interface KeptRepository {
  isPrivate: boolean;
  head: string;
  readonly commits: { readonly title: string; readonly parent: string | undefined }[];
  files: Map<string, Buffer>;
}

/** What goes wrong with a request, used up one after another. */
export interface RefusedRequest {
  readonly status?: number;
  readonly retryAfter?: string;
  /** Break the connection instead of answering; "after" lets the request do its work first. */
  readonly cut?: "before" | "after";
}

/** The requests that a publication is made of. */
export type HubCall = "create" | "info" | "tree" | "preupload" | "lfs" | "storage" | "commit";

export interface PublishingHub {
  readonly url: string;
  readonly repositories: Map<string, KeptRepository>;
  readonly faults: Map<HubCall, RefusedRequest[]>;
  readonly log: string[];
  /** Authorization headers that reached the storage, which is of another origin. */
  readonly leaked: string[];
  close(): Promise<void>;
}

/** Files from this size on go to the storage. */
const largeFrom = 2000;

/**
 * The part of the Hugging Face hub's interface that publishing needs: repositories are made, files announced, large ones put into
 * a storage of another origin by their SHA-256, and a commit in lines of JSON makes them visible all at once.
 * @param owners of whom `token` may write
 */
export async function startPublishingHub(token: string, owners: readonly string[]): Promise<PublishingHub> {
  const repositories = new Map<string, KeptRepository>();
  const faults = new Map<HubCall, RefusedRequest[]>();
  const log: string[] = [];
  const leaked: string[] = [];
  const stored = new Map<string, Buffer>();

  /** Answers with the next fault of a call, where there is one; says whether it did. */
  const serve =
    (call: HubCall, work: (request: IncomingMessage, body: Buffer, path: string) => Answer) =>
    async (request: IncomingMessage, path: string, respond: (answer: Answer | undefined) => void) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      log.push(call);
      const fault = faults.get(call)?.shift();
      if (fault?.cut === "before") return respond(undefined);
      if (fault?.status !== undefined) {
        const headers: Record<string, string> =
          fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter };
        return respond({ status: fault.status, body: { error: "as the test wants it" }, headers });
      }
      const answer = work(request, Buffer.concat(chunks), path);
      respond(fault?.cut === "after" ? undefined : answer);
    };

  const storage = await listening((request, respond) => {
    if (request.headers.authorization) leaked.push(request.headers.authorization);
    return serve("storage", (_, body, path) => {
      const oid = path.slice(1);
      if (createHash("sha256").update(body).digest("hex") !== oid) return { status: 400, body: {} };
      stored.set(oid, body);
      return { status: 200, body: {} };
    })(request, request.url!, respond);
  });

  const calls: Record<Exclude<HubCall, "storage">, (id: string, body: Buffer) => Answer> = {
    create: (_, body) => {
      const asked = JSON.parse(body.toString()) as { name: string; organization: string; visibility: string };
      const id = `${asked.organization}/${asked.name}`;
      if (!owners.includes(asked.organization)) return { status: 403, body: { error: "no rights" } };
      if (repositories.has(id)) return { status: 409, body: { error: "You already created this repo" } };
      const files = new Map([[".gitattributes", Buffer.from("*.safetensors filter=lfs\n")]]);
      const isPrivate = asked.visibility === "private";
      repositories.set(id, { isPrivate, head: "0".repeat(40), commits: [], files });
      return { status: 200, body: { url: `x/${id}`, id } };
    },
    info: (id) => {
      const { isPrivate, head } = repositories.get(id)!;
      return { status: 200, body: { _id: "1", id, private: isPrivate, sha: head, lastModified: 0 } };
    },
    tree: (id) => {
      const body = [...repositories.get(id)!.files].map(([path, bytes]) => {
        return { type: "file", path, size: bytes.length, oid: "0" };
      });
      return { status: 200, body };
    },
    preupload: (_, body) => {
      const { files } = JSON.parse(body.toString()) as { files: { path: string; size: number }[] };
      const modes = files.map(({ path, size }) => ({
        path,
        uploadMode: size >= largeFrom ? "lfs" : "regular",
      }));
      return { status: 200, body: { files: modes } };
    },
    lfs: (_, body) => {
      const { objects } = JSON.parse(body.toString()) as { objects: { oid: string; size: number }[] };
      const answer = objects.map(({ oid, size }) =>
        stored.has(oid)
          ? { oid, size }
          : { oid, size, actions: { upload: { href: `${storage.url}/${oid}` } } },
      );
      return { status: 200, body: { transfer: "basic", objects: answer } };
    },
    commit: (id, body) => {
      const repository = repositories.get(id)!;
      const files = new Map(repository.files);
      let header: { summary: string; parentCommit?: string } | undefined;
      for (const line of body.toString().split("\n")) {
        const { key, value } = JSON.parse(line) as { key: string; value: Record<string, string> };
        if (key === "header") header = value as never;
        else if (key === "deletedFile") files.delete(value.path);
        else if (key === "file") files.set(value.path, Buffer.from(value.content, "base64"));
        else if (key === "lfsFile") files.set(value.path, stored.get(value.oid)!);
      }
      if (header?.parentCommit !== repository.head) return { status: 412, body: { error: "stale" } };
      repository.commits.push({ title: header.summary, parent: header.parentCommit });
      repository.head = createHash("sha1").update(body).digest("hex");
      repository.files = files;
      return { status: 200, body: { commitOid: repository.head, commitUrl: "x" } };
    },
  };
  const hub = await listening((request, respond) => {
    const path = decodeURIComponent(new URL(request.url!, "http://hub").pathname);
    const id = /^\/(?:api\/(?:models|datasets)\/|datasets\/)?([^/]+\/[^/.]+)/.exec(path)?.[1] ?? "";
    const call = callOf(path);
    return serve(call, (_, body) => {
      if (request.headers.authorization !== `Bearer ${token}`) {
        return { status: 401, body: { error: "Invalid credentials" } };
      }
      if (call !== "create" && !repositories.has(id)) return { status: 404, body: {} };
      return calls[call](id, body);
    })(request, path, respond);
  });
  return {
    ...{ url: hub.url, repositories, faults, log, leaked },
    async close() {
      await hub.close();
      await storage.close();
    },
  };
}

function callOf(path: string): Exclude<HubCall, "storage"> {
  if (path === "/api/repos/create") return "create";
  if (path.endsWith(".git/info/lfs/objects/batch")) return "lfs";
  for (const call of ["preupload", "commit", "tree"] as const) if (path.includes(`/${call}/`)) return call;
  return "info";
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A server on the loopback interface; no answer breaks the connection. */
async function listening(
  handle: (request: IncomingMessage, respond: (answer: Answer | undefined) => void) => Promise<void>,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    void handle(request, (answer) => {
      if (answer === undefined) return void response.destroy();
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      response.end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
