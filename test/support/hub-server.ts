import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository that the server has. */
export interface ServedRepository {
  readonly commit: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Other revisions by name. */
  readonly revisions?: Readonly<Record<string, ServedRepository>>;
  /** Only for those who send this token. */
  readonly token?: string;
  /** Number of the pull request with safetensors that the hub's bot opened. */
  readonly conversion?: number;
}

/** What goes wrong, by path of a file; used up one after another. */
export interface Fault {
  /** Bytes of the body after which the connection breaks. */
  readonly cutAfter?: number;
  /** Answer with this status. */
  readonly status?: number;
  readonly retryAfter?: string;
  /** Other bytes of the same length. */
  readonly corrupt?: boolean;
  /** Send everything, whatever range was asked for. */
  readonly ignoreRange?: boolean;
}

export interface HubServer {
  readonly url: string;
  /** Requests as "METHOD path", with the range where there was one. */
  readonly log: string[];
  readonly faults: Map<string, Fault[]>;
  readonly repositories: Map<string, ServedRepository>;
  /** Authorization headers that reached the storage behind the redirect. */
  readonly leaked: string[];
  close(): Promise<void>;
}

/** Files from this size on are large ones, with a SHA-256; below, git's hash names them. */
const largeFrom = 1024;

const bytesOf = (content: Uint8Array | string): Buffer => Buffer.from(content as Uint8Array);

/** What the hub's API says of a file. */
export function describeFile(path: string, content: Uint8Array | string) {
  const bytes = bytesOf(content);
  const git = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return {
    type: "file",
    path,
    size: bytes.length,
    oid: git,
    ...(bytes.length >= largeFrom
      ? { lfs: { oid: sha256, size: bytes.length, pointerSize: 134 }, xetHash: sha256 }
      : {}),
  };
}

/**
 * A server with the interface of the Hugging Face hub that a download needs: a model's commit, its paths and tree, and
 * its files, of which the large ones are redirected to a storage of another origin that serves ranges.
 */
export async function startHub(repositories: Readonly<Record<string, ServedRepository>>): Promise<HubServer> {
  const known = new Map(Object.entries(repositories));
  const log: string[] = [];
  const leaked: string[] = [];
  const faults = new Map<string, Fault[]>();
  const content = new Map<string, Buffer>();

  const nextFault = (path: string): Fault => faults.get(path)?.shift() ?? {};

  const sendBody = (request: IncomingMessage, response: ServerResponse, bytes: Buffer, fault: Fault) => {
    const range = fault.ignoreRange ? null : /^bytes=(\d+)-/.exec(request.headers.range ?? "");
    const start = range ? Number(range[1]) : 0;
    if (range && start >= bytes.length) {
      response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
      return;
    }
    const sent = (fault.corrupt ? Buffer.alloc(bytes.length, 7) : bytes).subarray(start);
    response.writeHead(range ? 206 : 200, {
      "content-length": sent.length,
      ...(range ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    if (fault.cutAfter === undefined) response.end(sent);
    else response.write(sent.subarray(0, fault.cutAfter), () => response.destroy());
  };

  const storage = createServer((request, response) => {
    if (request.headers.authorization) leaked.push(request.headers.authorization);
    const path = decodeURIComponent(new URL(request.url!, "http://storage").searchParams.get("path")!);
    log.push(`storage ${path}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    sendBody(request, response, content.get(request.url!)!, nextFault(path));
  });
  const storageUrl = await listen(storage);

  const server = createServer(async (request, response) => {
    const url = new URL(request.url!, "http://hub");
    const path = decodeURIComponent(url.pathname);
    log.push(`${request.method} ${path}${request.headers.range ? ` ${request.headers.range}` : ""}`);
    const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
      response
        .writeHead(status, { "content-type": "application/json", ...headers })
        .end(JSON.stringify(body));
    const id = /^\/(?:api\/(?:models|datasets)\/|datasets\/)?([^/]+\/[^/]+)/.exec(path)?.[1] ?? "";
    const repository = known.get(id);
    if (!repository) {
      json(401, { error: "Repository not found" }, { "x-error-code": "RepoNotFound" });
      return;
    }
    if (repository.token && request.headers.authorization !== `Bearer ${repository.token}`) {
      json(request.headers.authorization ? 403 : 401, { error: "gated" }, { "x-error-code": "GatedRepo" });
      return;
    }
    const rest = path.slice(path.indexOf(id) + id.length);
    const revisionOf = (name: string): ServedRepository | undefined =>
      [repository, ...Object.values(repository.revisions ?? {})].find(({ commit }) => commit === name) ??
      (name === "main" ? repository : repository.revisions?.[name]);
    const fault = rest.startsWith("/resolve/") ? {} : nextFault("api");
    if (fault.status !== undefined) {
      json(fault.status, {}, fault.retryAfter ? { "retry-after": fault.retryAfter } : {});
      return;
    }
    if (rest === "/discussions") {
      const { conversion } = repository;
      const author = { name: "SFconvertbot" };
      const open =
        conversion === undefined
          ? []
          : [{ num: conversion, isPullRequest: true, author, status: "open", title: "Adding `safetensors`" }];
      json(200, { discussions: open });
      return;
    }
    const call =
      /^\/(revision|paths-info|tree|resolve)\/(refs\/pr\/\d+|refs\/convert\/\w+|[^/]+)(?:\/(.*))?$/.exec(
        rest,
      );
    const revision = call ? revisionOf(call[2]) : undefined;
    if (!call || !revision) {
      json(404, { error: "Invalid rev id" }, { "x-error-code": "RevisionNotFound" });
      return;
    }
    if (call[1] === "revision") {
      json(200, { _id: id, id, sha: revision.commit, private: false, gated: false, downloads: 0, likes: 0 });
    } else if (call[1] === "paths-info") {
      const { paths } = JSON.parse(await bodyOf(request)) as { paths: string[] };
      const found = paths.filter((p) => p in revision.files);
      json(
        200,
        found.map((p) => describeFile(p, revision.files[p])),
      );
    } else if (call[1] === "tree") {
      const prefix = call[3] ? `${call[3]}/` : "";
      const recursive = url.searchParams.get("recursive") === "true";
      const inside = Object.entries(revision.files).filter(
        ([p]) => p.startsWith(prefix) && (recursive || !p.slice(prefix.length).includes("/")),
      );
      if (inside.length === 0 && prefix)
        json(404, { error: "no entry" }, { "x-error-code": "EntryNotFound" });
      else
        json(
          200,
          inside.map(([p, bytes]) => describeFile(p, bytes)),
        );
    } else {
      const file = call[3];
      if (!(file in revision.files)) {
        json(404, { error: "Entry not found" }, { "x-error-code": "EntryNotFound" });
        return;
      }
      const bytes = bytesOf(revision.files[file]);
      const [first] = faults.get(file) ?? [];
      if (first?.status !== undefined) {
        faults.get(file)!.shift();
        json(first.status, {}, first.retryAfter ? { "retry-after": first.retryAfter } : {});
      } else if (bytes.length < largeFrom) {
        sendBody(request, response, bytes, nextFault(file));
      } else {
        const address = `/${revision.commit}?path=${encodeURIComponent(file)}`;
        content.set(address, bytes);
        response.writeHead(302, { location: `${storageUrl}${address}` }).end();
      }
    }
  });
  const url = await listen(server);
  return {
    url,
    log,
    faults,
    leaked,
    repositories: known,
    async close() {
      for (const each of [server, storage]) {
        each.closeAllConnections();
        await new Promise((resolve) => each.close(resolve));
      }
    },
  };
}

function listen(server: ReturnType<typeof createServer>): Promise<string> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    ),
  );
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}
