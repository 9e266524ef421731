import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, lstat, open, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { PathInfo } from "@huggingface/hub";
import type { PartialContext } from "../../context.ts";
import { DownloadError, messageOf } from "../../errors.ts";
import { makeFolders } from "../disk.ts";
import { causesOf, hubFetch, interrupted, UnreachableError } from "./request.ts";
import type { HubAccess } from "./settings.ts";

/** A file of a repository at a commit, with what it must hash to. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Of large files the SHA-256 of the content, of small ones git's name of it: the blob's name in the cache. */
  readonly etag: string;
  readonly hash: "sha256" | "git";
}

/** Reads what the hub says of a file. Throws DownloadError where it gives no hash to check against. */
export function hubFile({ path, size, lfs, oid, xetHash }: PathInfo): HubFile {
  const found = lfs
    ? { size: lfs.size, etag: lfs.oid.replace(/^sha256:/, ""), hash: "sha256" as const }
    : { size, etag: xetHash ? "" : (oid ?? ""), hash: "git" as const };
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(found.etag)) {
    throw new DownloadError(
      `The hub gives no hash for ${path}, so that it could not be checked. Download it by other means.`,
    );
  }
  return { path, ...found };
}

/** Transfers that end without a byte more, one after another, before giving up. */
const fruitlessTransfers = 3;

/**
 * Brings one file into the cache, in the layout that all Hugging Face libraries share: content in `blobs`, links to it
 * in `snapshots`. A transfer that was cut resumes where it was; the content is checked against its hash.
 *
 * @param repository folder of the repository in the cache
 * @param onBytes called with how much of the file has arrived
 * @throws DownloadError; InterruptedError when stopped
 */
export async function transferFile(
  id: string,
  commit: string,
  file: HubFile,
  repository: string,
  access: HubAccess,
  context: PartialContext,
  onBytes: (arrived: number) => void,
): Promise<void> {
  const blob = join(repository, "blobs", file.etag);
  const link = join(repository, "snapshots", commit, ...file.path.split("/"));
  if (await isThere(link)) return onBytes(file.size);
  await inHubCache(repository, async () => {
    await makeFolders(dirname(blob));
    await makeFolders(dirname(link));
    if (!(await isThere(blob))) await download(id, commit, file, blob, access, context, onBytes);
    onBytes(file.size);
    await rm(link, { force: true });
    try {
      await symlink(relative(dirname(link), blob), link);
    } catch {
      // A system without links: a second copy, as huggingface_hub makes it.
      await copyFile(blob, `${link}.incomplete`);
      await rename(`${link}.incomplete`, link);
    }
  });
}

/** Runs work on a `folder` of the hub's cache, turning what the system refuses into an error for the person. */
export async function inHubCache<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isDiskError(error)) throw error;
    throw new DownloadError(
      `${folder} cannot be used (${messageOf(error)}). Make room or choose another folder: HF_HUB_CACHE or \`hub.cacheDir\`.`,
      { cause: error },
    );
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function download(
  id: string,
  commit: string,
  file: HubFile,
  blob: string,
  access: HubAccess,
  context: PartialContext,
  onBytes: (arrived: number) => void,
): Promise<void> {
  const partial = `${blob}.incomplete`;
  const address = file.path.split("/").map(encodeURIComponent).join("/");
  const url = `${access.hubUrl}/${id}/resolve/${commit}/${address}`;
  const get = hubFetch(id, access, context);
  let arrived = await sizeOf(partial);
  if (arrived > file.size) arrived = 0;
  for (let fruitless = 0; arrived < file.size || file.size === 0; ) {
    onBytes(arrived);
    const response = await get(url, {
      headers: {
        ...(arrived > 0 ? { range: `bytes=${arrived}-` } : {}),
        // What is stored compressed would not be what was hashed.
        "accept-encoding": "identity",
      },
    });
    const from = startOf(response, arrived);
    const before = arrived;
    try {
      arrived = await append(response, partial, from, file.size, onBytes);
      if (file.size === 0) break;
      if (arrived < file.size) throw new Error("the connection ended early");
    } catch (error) {
      if (context.signal?.aborted) throw interrupted(id);
      if (isDiskError(error)) throw error;
      arrived = await sizeOf(partial);
      fruitless = arrived > before ? 0 : fruitless + 1;
      if (fruitless >= fruitlessTransfers) {
        throw new UnreachableError(
          `The transfer of ${file.path} of ${id} breaks off at ${arrived} of ${file.size} bytes ` +
            `(${causesOf(error)}). What has arrived is kept; the same command resumes.`,
          { cause: error },
        );
      }
    }
  }
  const found = await hashOf(partial, file);
  if (found !== file.etag) {
    await rm(partial, { force: true });
    throw new DownloadError(
      `${file.path} of ${id} arrived damaged: its ${file.hash === "git" ? "git hash" : "SHA-256"} is ${found}, ` +
        `expected ${file.etag}. What had arrived was removed. Run the command again; if it fails again, something ` +
        "between here and the hub changes files.",
    );
  }
  await rename(partial, blob);
}

/** Where in the file an answer's bytes belong: a server that does not know ranges sends all of it. */
function startOf(response: Response, asked: number): number {
  if (response.status !== 206) return 0;
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  return start === undefined ? asked : Math.min(Number(start), asked);
}

/** Writes an answer's body from offset `from` on; returns how long the file is then. */
async function append(
  response: Response,
  path: string,
  from: number,
  size: number,
  onBytes: (arrived: number) => void,
): Promise<number> {
  const file = await open(path, from === 0 ? "w" : "r+");
  let arrived = from;
  try {
    await file.truncate(from);
    // 416: what is here is past the end of what is there.
    if (response.status === 416 || response.body === null) return arrived;
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      if (arrived + chunk.length > size) throw new Error("more bytes came than the file has");
      for (let written = 0; written < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, written, chunk.length - written, arrived);
        written += bytesWritten;
        arrived += bytesWritten;
      }
      onBytes(arrived);
    }
    await file.sync();
    return arrived;
  } finally {
    await file.close();
  }
}

async function hashOf(path: string, { size, hash }: HubFile): Promise<string> {
  const digest = createHash(hash === "git" ? "sha1" : "sha256");
  if (hash === "git") digest.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) digest.update(chunk as Uint8Array);
  return digest.digest("hex");
}

const sizeOf = (path: string): Promise<number> =>
  lstat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** Errors of the system that come bare are the disk's: `fetch` wraps those of the network. */
function isDiskError(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}
