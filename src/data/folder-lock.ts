import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";
import * as z from "zod";
import { DataError } from "../errors.ts";

/** The right to write in a folder, until released. */
export interface FolderLock {
  release(): Promise<void>;
}

const Owner = z.object({ host: z.string(), pid: z.number(), thread: z.number() });
type Owner = z.infer<typeof Owner>;

const heartbeatSeconds = 5;
/** An owner on another machine that was not heard of for this long is taken for dead. */
const silenceSeconds = 60;

const heldHere = new Set<string>();

/**
 * Locks `folder` against another process, thread or machine that would write the same files. A lock whose owner
 * has died is taken over: at once where its process is seen to be gone, else after a minute of silence.
 *
 * Throws DataError naming the owner when the folder is locked.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const file = join(folder, "lock.json");
  const self: Owner = { host: hostname(), pid: process.pid, thread: threadId };
  const take = () => writeFile(file, JSON.stringify(self), { flag: "wx" });
  try {
    await take();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const owner = await ownerOf(file);
    if (owner !== undefined && (await isAlive(owner, self, file))) {
      throw new DataError(
        `${folder} is being written by process ${owner.pid} on ${owner.host}. Wait for it, ` +
          `or if it is no longer running, delete ${file}.`,
      );
    }
    await rm(file, { force: true });
    await take();
  }
  heldHere.add(file);
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, heartbeatSeconds * 1000);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      heldHere.delete(file);
      await rm(file, { force: true });
    },
  };
}

/** undefined when the lock is gone, or was cut short while being written. */
async function ownerOf(file: string): Promise<Owner | undefined> {
  try {
    return Owner.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined;
  }
}

async function isAlive(owner: Owner, self: Owner, file: string): Promise<boolean> {
  if (owner.host === self.host) {
    // A restarted container often has the process id of the one that died.
    if (owner.pid === self.pid && owner.thread === self.thread) return heldHere.has(file);
    if (!processRuns(owner.pid)) return false;
  }
  const heard = await stat(file).catch(() => undefined);
  return heard !== undefined && Date.now() - heard.mtimeMs < silenceSeconds * 1000;
}

function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
