import { hash, randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { threadId } from "node:worker_threads";
import * as z from "zod";
import { DataError, messageOf } from "../errors.ts";
import { onDisk } from "./disk.ts";
import { beat, heartbeatSeconds } from "./heartbeat.ts";
import { endsWith, stillRuns, thisMachine, thisProcess } from "./processes.ts";

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
  /** Where its process number means something; absent in locks of earlier versions. */
  machine: z.string().optional(),
  /** When its process began: another that was given its number later is not the owner. */
  start: z.string().optional(),
  /** The process with which the owner ends. */
  endsWith: z.object({ pid: z.number(), start: z.string().optional() }).optional(),
});
type Owner = z.infer<typeof Owner>;

/** A lock that is there. */
interface Found {
  readonly text: string;
  /** undefined where the text cannot be understood: it is being written, or a power cut took it. */
  readonly owner: Owner | undefined;
}

/** An owner that cannot be looked at and was not heard of for this long is taken for dead. */
const silenceSeconds = 60;
/** How long a lock that is dated in the future is watched for a sign of life. */
const watchSeconds = 1.6 * heartbeatSeconds;
/** How long an owner that ends with a process which is gone is waited for. */
const dyingSeconds = 15;

/** Ids of the locks of this thread. */
const heldHere = new Set<string>();

const lockName = "lock.json";
const mostLockBytes = 64 * 1024;
const shareName = /^share-[\w-]+\.json$/;

/** What a lock or a share of this thread says. */
const ownText = (id: string): string =>
  JSON.stringify({
    ...{ host: hostname(), thread: threadId, id, machine: thisMachine, endsWith: endsWith() },
    ...thisProcess,
  } satisfies Owner);

/**
 * Locks `folder` against another process, thread or machine that would write the same files. Of an owner on this machine
 * the process is looked at: while it runs the lock is its own, however busy it is and whatever the clock says, and once it
 * is gone the lock is taken over. One whose parent was killed, with which it ends in a moment, is waited for. An owner
 * elsewhere is taken for dead after a minute of silence by the disk's own clock. A folder of which others have shares is
 * locked for whoever would have it alone.
 *
 * @param note hears that an owner is waited for
 * @throws DataError naming the owner when the folder is locked, or saying why the disk cannot be written
 */
export async function lockFolder(folder: string, note?: (message: string) => void): Promise<FolderLock> {
  const file = join(folder, lockName);
  const id = randomUUID();
  const text = ownText(id);
  // First, so that whoever finds the lock in this thread finds it held.
  heldHere.add(id);
  try {
    const take = () => takeInTime(file, text, note);
    const holder = await onDisk(folder, take, undefined, "run the same command again");
    if (holder !== undefined) throw isLocked(folder, file, holder);
    const [sharer] = await livingShares(folder);
    if (sharer !== undefined) {
      await leave(file, text);
      throw isLocked(folder, sharer.file, sharer.found);
    }
  } catch (error) {
    heldHere.delete(id);
    throw error;
  }
  return held(file, id, () =>
    onDisk(folder, () => leave(file, text), undefined, "run the same command again"),
  );
}

/** What keeps a lock or a share that was taken, until it is left. */
function held(file: string, id: string, leaveIt: () => Promise<void>): FolderLock {
  const end = beat(file);
  return {
    async release() {
      end();
      try {
        await leaveIt();
      } finally {
        heldHere.delete(id);
      }
    },
  };
}

/**
 * Takes a share of `folder`, of which others may have shares too; nobody can lock it meanwhile. Shares of those that are
 * gone are removed with it.
 * @throws DataError naming the owner when the folder is locked
 */
export async function shareFolder(folder: string): Promise<FolderLock> {
  const id = randomUUID();
  const file = join(folder, `share-${id}.json`);
  const lock = join(folder, lockName);
  heldHere.add(id);
  const leaveShare = async () => {
    await onDisk(folder, () => rm(file, { force: true }), undefined, "run the same command again");
    await livingShares(folder);
  };
  try {
    // First, so that of two who begin at the same time at least one finds the other.
    await onDisk(folder, () => writeIn(folder, file, ownText(id)));
    const holder = await find(lock);
    if (holder !== undefined && (await isAlive(holder, lock))) throw isLocked(folder, lock, holder);
  } catch (error) {
    await leaveShare().catch(() => {});
    heldHere.delete(id);
    throw error;
  }
  return held(file, id, leaveShare);
}

/** Writes a new file in a folder, made again where whoever had a share before has just removed it. */
async function writeIn(folder: string, file: string, text: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(file, text, { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tries === 5) throw error;
      await mkdir(folder, { recursive: true });
    }
  }
}

/** The shares of a folder; those of owners that are gone are removed. */
async function livingShares(folder: string): Promise<{ readonly file: string; readonly found: Found }[]> {
  const living: { readonly file: string; readonly found: Found }[] = [];
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => shareName.test(one))) {
    const file = join(folder, name);
    const found = await find(file);
    if (found === undefined) continue;
    if (await isAlive(found, file)) living.push({ file, found });
    else await rm(file, { force: true });
  }
  return living;
}

/** Takes a lock, waiting for an owner that is about to end; else returns the living one. */
async function takeInTime(
  file: string,
  text: string,
  note: ((message: string) => void) | undefined,
): Promise<Found | undefined> {
  const end = performance.now() + 1000 * dyingSeconds;
  for (let noted = false; ; noted = true) {
    const holder = await take(file, text);
    if (holder?.owner === undefined || !isDying(holder.owner) || performance.now() > end) return holder;
    if (!noted) {
      note?.(`Waiting for process ${holder.owner.pid} to end: the command that it worked for was killed.`);
    }
    await sleep(100);
  }
}

/** Whether an owner on this machine ends with a process that is gone. */
function isDying({ machine, endsWith: parent }: Owner): boolean {
  return machine === thisMachine && parent !== undefined && stillRuns(parent) === false;
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
    // A pipe would be waited for.
    const info = await stat(file);
    if (!info.isFile() || info.size > mostLockBytes)
      throw new Error("it is a folder, a pipe or far too long");
    text = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new DataError(`${file} is not a lock (${messageOf(cause)}). Delete it if nothing writes there.`, {
      cause,
    });
  }
  try {
    return { text, owner: Owner.parse(JSON.parse(text)) };
  } catch {
    return { text, owner: undefined };
  }
}

async function isAlive({ owner, text }: Found, file: string): Promise<boolean> {
  const isHere =
    owner !== undefined &&
    (owner.machine === undefined ? owner.host === hostname() : owner.machine === thisMachine);
  if (!isHere) return isHeard(file, text);
  const runs = stillRuns(owner);
  if (runs === false) return false;
  if (owner.pid === process.pid) {
    // A restarted container often has the process id of the one that died. A thread may have ended without its process.
    return owner.thread === threadId ? heldHere.has(owner.id ?? "") : isHeard(file, text);
  }
  return runs === true || isHeard(file, text);
}

/** Whether the owner of a lock gave a sign of life lately. A lock that is dated in the future is watched for one. */
async function isHeard(file: string, text: string): Promise<boolean> {
  const age = async () => {
    const heard = await stat(file).catch(() => undefined);
    return heard === undefined ? Number.POSITIVE_INFINITY : ((await diskTime(file)) - heard.mtimeMs) / 1000;
  };
  const first = await age();
  if (first > -heartbeatSeconds) return first < silenceSeconds;
  for (const end = performance.now() + 1000 * watchSeconds; performance.now() < end; ) {
    await sleep(500);
    if ((await find(file))?.text !== text || (await age()) > -heartbeatSeconds) return true;
  }
  return false;
}

/** The time by the clock that dates the files beside `file`, which may be another machine's. */
async function diskTime(file: string): Promise<number> {
  const probe = `${file}.${randomUUID()}`;
  try {
    await writeFile(probe, "", { flag: "wx" });
    return (await stat(probe)).mtimeMs;
  } catch {
    return Date.now();
  } finally {
    await rm(probe, { force: true }).catch(() => {});
  }
}

/** Someone else is writing in a folder. */
export class FolderLocked extends DataError {}

function isLocked(folder: string, file: string, { owner }: Found): FolderLocked {
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  return new FolderLocked(
    `${folder} is being written by ${who}. Wait for it, or if it is no longer running, delete ${file}.`,
  );
}
