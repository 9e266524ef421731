import { constants } from "node:fs";
import {
  copyFile,
  type FileHandle,
  lstat,
  open,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { PartialContext } from "../../context.ts";
import { DownloadError, messageOf } from "../../errors.ts";
import { makeFolders } from "../disk.ts";
import { hashOf } from "../verified.ts";
import type { HubEntry } from "./api.ts";
import { limitsOf, piecesOf, TooSlow } from "./limits.ts";
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

/** Reads what the hub says of a file. Throws DownloadError where it gives no size, or no hash to check against. */
export function hubFile({ path, size, lfs, oid, xetHash }: HubEntry): HubFile {
  const found = lfs
    ? { size: lfs.size, etag: lfs.oid.replace(/^sha256:/, ""), hash: "sha256" as const }
    : { size: size ?? -1, etag: xetHash ? "" : (oid ?? ""), hash: "git" as const };
  if (found.size < 0 || !(lfs ? isSha256 : isGitHash)(found.etag)) {
    throw new DownloadError(
      `The hub gives no ${found.size < 0 ? "size" : "hash"} for ${path}, so that it could not be checked. Download it by other means.`,
    );
  }
  return { path, ...found };
}

const isSha256 = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);
const isGitHash = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/**
 * Throws nothing where a file in the cache is as it was fetched; else says what it hashes to. The name of the blob that it
 * leads to is the hash of its content; a file that is not a link to one has none to be compared with. Each blob is read
 * once per process.
 *
 * @returns undefined where it is sound
 */
export async function damageOf(path: string, signal?: AbortSignal): Promise<string | undefined> {
  const blob = await realpath(path);
  const name = basename(blob);
  if (basename(dirname(blob)) !== "blobs" || !(isSha256(name) || isGitHash(name))) return undefined;
  const found = await hashOf(blob, { kind: isSha256(name) ? "sha256" : "git", signal });
  return found === name ? undefined : `its hash is ${found}, its name in the cache says ${name}`;
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
  await inHubCache(repository, async () => {
    for (const path of [link, blob]) {
      if (!(await isThere(path))) continue;
      if ((await hashOf(path, { kind: file.hash, signal: context.signal })) === file.etag) {
        if (path === link) return onBytes(file.size);
        continue;
      }
      context.note?.(
        `${file.path} of ${id} was changed or damaged since it was fetched, and is fetched again.`,
      );
      await rm(path, { force: true });
    }
    await makeFolders(dirname(blob));
    await makeFolders(dirname(link));
    if (!(await isThere(blob))) await download(id, commit, file, blob, access, context, onBytes);
    onBytes(file.size);
    await rm(link, { force: true });
    try {
      await symlink(relative(dirname(link), blob), link);
    } catch {
      // A system without links: a second copy, as huggingface_hub makes it.
      await rm(`${link}.incomplete`, { force: true });
      await copyFile(blob, `${link}.incomplete`, constants.COPYFILE_EXCL);
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
  await removeUnlessOwn(partial);
  let arrived = await sizeOf(partial);
  if (arrived > file.size) arrived = 0;
  let farthest = arrived;
  for (let fruitless = 0; arrived < file.size || file.size === 0; ) {
    onBytes(arrived);
    const response = await get(url, {
      headers: {
        ...(arrived > 0 ? { range: `bytes=${arrived}-` } : {}),
        // What is stored compressed would not be what was hashed.
        "accept-encoding": "identity",
      },
      elsewhere: true,
    });
    const from = startOf(response, arrived);
    try {
      arrived = await append(response, partial, from, file.size, access, onBytes);
      if (file.size === 0) break;
      if (arrived < file.size) throw new Error("the connection ended early");
    } catch (error) {
      if (context.signal?.aborted) throw interrupted(id);
      if (isDiskError(error)) throw error;
      arrived = await sizeOf(partial);
      // A drip is no progress either: it would go on for days. Nor is what had arrived before: a file that is shorter than
      // the hub says is begun again each time that its end was asked for.
      fruitless = arrived > farthest && !(error instanceof TooSlow) ? 0 : fruitless + 1;
      farthest = Math.max(farthest, arrived);
      if (fruitless >= fruitlessTransfers) {
        throw new UnreachableError(
          `The transfer of ${file.path} of ${id} breaks off at ${arrived} of ${file.size} bytes ` +
            `(${causesOf(error)}). What has arrived is kept; the same command resumes.`,
          { cause: error },
        );
      }
    }
  }
  const found = await hashOf(partial, { kind: file.hash, signal: context.signal });
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

/** Removes what is not a file of its own: bytes would be written where a link leads. */
async function removeUnlessOwn(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined && !found.isDirectory() && !(found.isFile() && found.nlink === 1)) {
    await rm(path, { force: true });
  }
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
  access: HubAccess,
  onBytes: (arrived: number) => void,
): Promise<number> {
  const { idleSeconds, leastSpeed, speedSeconds } = limitsOf(access.limits);
  const file = await openOwn(path);
  let arrived = from;
  let measured = { bytes: from, since: performance.now() };
  try {
    await file.truncate(from);
    // 416: what is here is past the end of what is there.
    if (response.status === 416) return arrived;
    for await (const chunk of piecesOf(response, idleSeconds)) {
      if (arrived + chunk.length > size) throw new Error("more bytes came than the file has");
      for (let written = 0; written < chunk.length; ) {
        const { bytesWritten } = await file.write(chunk, written, chunk.length - written, arrived);
        written += bytesWritten;
        arrived += bytesWritten;
      }
      onBytes(arrived);
      const seconds = (performance.now() - measured.since) / 1000;
      if (seconds < speedSeconds) continue;
      if (arrived - measured.bytes < leastSpeed * seconds) {
        throw new TooSlow(`${arrived - measured.bytes} bytes came in ${Math.round(seconds)} s`);
      }
      measured = { bytes: arrived, since: performance.now() };
    }
    await file.sync();
    return arrived;
  } finally {
    await file.close();
  }
}

/** A file for reading and writing, made where it is not there; a link is not followed. */
function openOwn(path: string): Promise<FileHandle> {
  // Windows has no such flag, and asks for a privilege to make links.
  const { O_RDWR, O_CREAT, O_NOFOLLOW = 0 } = constants;
  return open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o666);
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
