import { hash, randomUUID } from "node:crypto";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import * as z from "zod";
import { DataError } from "../errors.ts";
import { onDisk } from "./disk.ts";

/** The right to write in a folder, until released. */
export interface FolderLock {
  release(): Promise<void>;
}

const Owner = z.object({
  host: z.string(),
  pid: z.number(),
  thread: z.number(),
  /** Of this one lock: a later one of the same thread has another. */
  id: z.string().optional(),
});
type Owner = z.infer<typeof Owner>;

/** A lock that is there. */
interface Found {
  readonly text: string;
  /** undefined where the text cannot be understood: it is being written, or a power cut took it. */
  readonly owner: Owner | undefined;
}

const heartbeatSeconds = 5;
/** An owner that cannot be looked at and was not heard of for this long is taken for dead. */
const silenceSeconds = 60;

/** Ids of the locks of this thread. */
const heldHere = new Set<string>();

/**
 * Locks `folder` against another process, thread or machine that would write the same files. A lock whose owner
 * has died is taken over: at once where its process is seen to be gone, else after a minute of silence.
 *
 * Throws DataError naming the owner when the folder is locked, or saying why the disk cannot be written.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const file = join(folder, "lock.json");
  const id = randomUUID();
  const text = JSON.stringify({ host: hostname(), pid: process.pid, thread: threadId, id } satisfies Owner);
  // First, so that whoever finds the lock in this thread finds it held.
  heldHere.add(id);
  try {
    const holder = await onDisk(folder, () => take(file, text), undefined, "run the same command again");
    if (holder !== undefined) throw isLocked(folder, file, holder);
  } catch (error) {
    heldHere.delete(id);
    throw error;
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, heartbeatSeconds * 1000);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      try {
        await onDisk(folder, () => leave(file, text), undefined, "run the same command again");
      } finally {
        heldHere.delete(id);
      }
    },
  };
}

/**
 * Takes the lock `file` for the owner that `text` names, or returns the living one that has it. Of those who find an
 * owner dead, only the one that takes the lock of the succession to this owner may replace it: a rename puts that lock
 * in its place. Whoever takes the succession later finds that the owner is another by now.
 */
async function take(file: string, text: string): Promise<Found | undefined> {
  for (;;) {
    if (await create(file, text)) return undefined;
    const found = await find(file);
    if (found === undefined) continue;
    if (await isAlive(found, file)) return found;
    const succession = `${file}.after-${hash("sha256", found.text).slice(0, 16)}`;
    const faster = await take(succession, text);
    if (faster !== undefined) return faster;
    if ((await find(file))?.text === found.text) {
      await rename(succession, file);
      return undefined;
    }
    await rm(succession, { force: true });
  }
}

/** Gives the lock up, unless someone who took its owner for dead has it by now. */
async function leave(file: string, text: string): Promise<void> {
  if ((await find(file))?.text === text) await rm(file, { force: true });
}

/** Makes a file, with all of its text at once; false where there is one. */
async function create(file: string, text: string): Promise<boolean> {
  const whole = `${file}.${randomUUID()}`;
  try {
    await writeFile(whole, text, { flag: "wx" });
    return await isNew(link(whole, file));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== "link") throw error;
    // Without hard links the file is there for a moment before its text is.
    return await isNew(writeFile(file, text, { flag: "wx" }));
  } finally {
    await rm(whole, { force: true });
  }
}

async function isNew(making: Promise<void>): Promise<boolean> {
  try {
    await making;
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** The lock at `file`; undefined without one. */
async function find(file: string): Promise<Found | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return { text, owner: Owner.parse(JSON.parse(text)) };
  } catch {
    return { text, owner: undefined };
  }
}

async function isAlive({ owner }: Found, file: string): Promise<boolean> {
  if (owner?.host === hostname()) {
    // A restarted container often has the process id of the one that died.
    if (owner.pid === process.pid && owner.thread === threadId) return heldHere.has(owner.id ?? "");
    if (!processRuns(owner.pid)) return false;
  }
  const heard = await stat(file).catch(() => undefined);
  return heard !== undefined && Date.now() - heard.mtimeMs < silenceSeconds * 1000;
}

/** Whether a process of this machine runs. */
export function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function isLocked(folder: string, file: string, { owner }: Found): DataError {
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  return new DataError(
    `${folder} is being written by ${who}. Wait for it, or if it is no longer running, delete ${file}.`,
  );
}
