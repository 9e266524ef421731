import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DataError } from "../../src/errors.ts";
import { type FolderLock, lockFolder, shareFolder } from "../../src/files/lock.ts";
import { processAt, thisMachine } from "../../src/files/processes.ts";

const system = vi.hoisted(() => ({ links: true, renames: true }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  const refuse = (syscall: string) =>
    Promise.reject(Object.assign(new Error(`no ${syscall}`), { code: "EPERM", syscall }));
  const link: typeof real.link = (...paths) => (system.links ? real.link(...paths) : refuse("link"));
  const rename: typeof real.rename = (...paths) =>
    system.renames ? real.rename(...paths) : refuse("rename");
  return { ...real, link, rename };
});

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "clp-lock-"));
});
afterEach(async () => {
  Object.assign(system, { links: true, renames: true });
  await rm(root, { recursive: true, force: true });
});

const { pid: deadPid } = spawnSync(process.execPath, ["-e", ""]);
const ownedBy = (pid: number, id?: string) => JSON.stringify({ host: hostname(), pid, thread: 0, id });
const freshFolder = () => mkdtemp(join(root, "folder-"));
async function folderOfDead(): Promise<string> {
  const folder = await freshFolder();
  await writeFile(join(folder, "lock.json"), ownedBy(deadPid, `${Math.random()}`));
  return folder;
}
const kinds = [
  ["a fresh folder", freshFolder],
  ["a folder whose owner has died", folderOfDead],
] as const;

describe("of those who lock a folder at once, one has it and the others hear who", () => {
  it.each(kinds)("in one process: %s", async (_, make) => {
    for (let round = 0; round < 15; round++) {
      const folder = await make();
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
      const locks = tries.flatMap((t) => (t.status === "fulfilled" ? [t.value] : []));
      const errors = tries.flatMap((t) => (t.status === "rejected" ? [t.reason as Error] : []));
      expect(locks).toHaveLength(1);
      for (const error of errors) expect(error.message).toMatch(`being written by process ${process.pid}`);
      expect(await readdir(folder)).toEqual(["lock.json"]);
      await locks[0].release();
      expect(await readdir(folder)).toEqual([]);
    }
  });

  it.each(kinds)("in two processes: %s", async (_, make) => {
    const others = [locker(), locker()];
    try {
      await Promise.all(others.map(reply));
      for (let round = 0; round < 40; round++) {
        const folder = await make();
        const [held, refused] = (await askAll(others, folder)).sort();
        expect([round, held]).toEqual([round, "held"]);
        expect(refused).toMatch(/^refused: .* is being written by process \d+ on .* delete .*lock\.json/);
        await askAll(others, null);
        expect(await readdir(folder)).toEqual([]);
      }
    } finally {
      for (const other of others) other.kill();
    }
  });
});

/** A process that locks the folders it is sent and releases them when sent null. */
function locker(): ChildProcess {
  const compiled = new URL("../../dist/files/lock.js", import.meta.url).href;
  const program = `
    import { lockFolder } from ${JSON.stringify(compiled)};
    let lock;
    process.on("message", async (folder) => {
      try {
        if (folder === null) await lock?.release();
        if (folder?.busySeconds) {
          await lockFolder(folder.folder);
          process.send("held", () => {
            for (const end = Date.now() + 1000 * folder.busySeconds; Date.now() < end; );
          });
          return;
        }
        lock = folder === null ? undefined : await lockFolder(folder);
        process.send("held");
      } catch (error) {
        process.send("refused: " + error.message);
      }
    });
    process.send("ready");`;
  return spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

const reply = async (child: ChildProcess) => String((await once(child, "message"))[0]);

function askAll(children: readonly ChildProcess[], folder: string | null): Promise<string[]> {
  const replies = Promise.all(children.map(reply));
  for (const child of children) child.send(folder as never);
  return replies;
}

describe("a folder's lock", () => {
  const lockFile = (folder: string) => join(folder, "lock.json");

  it("is taken over from a successor that died before it came to replace the dead owner", async () => {
    const folder = await folderOfDead();
    system.renames = false;
    await expect(lockFolder(folder)).rejects.toThrow("no rename");
    expect(await readdir(folder)).toHaveLength(2);
    system.renames = true;
    const lock = await lockFolder(folder);
    expect(await readdir(folder)).toEqual(["lock.json"]);
    await lock.release();
  });

  it("whose owner is not written yet is not taken, unless nothing was heard for a minute", async () => {
    const folder = await freshFolder();
    await writeFile(lockFile(folder), "");
    await expect(lockFolder(folder)).rejects.toBeInstanceOf(DataError);
    await expect(lockFolder(folder)).rejects.toThrow(
      /is being written by another process\..*delete .*lock\.json/,
    );
    const longAgo = new Date(Date.now() - 61_000);
    await utimes(lockFile(folder), longAgo, longAgo);
    await (await lockFolder(folder)).release();
  });

  it("dated in the future expires, and so does one whose owner gives no more signs of life", async () => {
    const folder = await freshFolder();
    const elsewhere = JSON.stringify({ host: "elsewhere", machine: "another", pid: 1, thread: 0, id: "x" });
    const future = new Date(Date.now() + 3600_000);
    await writeFile(lockFile(folder), elsewhere);
    await utimes(lockFile(folder), future, future);
    await (await lockFolder(folder)).release();
  }, 30_000);

  it("dated in the future is left to an owner elsewhere that gives signs of life", async () => {
    const folder = await freshFolder();
    await writeFile(
      lockFile(folder),
      JSON.stringify({ host: "elsewhere", machine: "another", pid: 1, thread: 0 }),
    );
    const future = new Date(Date.now() + 3600_000);
    await utimes(lockFile(folder), future, future);
    const trying = lockFolder(folder);
    setTimeout(
      () =>
        writeFile(
          lockFile(folder),
          JSON.stringify({ host: "elsewhere", machine: "another", pid: 1, thread: 0 }),
        ),
      700,
    );
    await expect(trying).rejects.toThrow(/is being written by process 1 on elsewhere/);
  }, 30_000);

  it("of another machine is given up after a minute of silence, and not before", async () => {
    const folder = await freshFolder();
    await writeFile(
      lockFile(folder),
      JSON.stringify({ host: "elsewhere", machine: "another", pid: deadPid, thread: 0 }),
    );
    const before = new Date(Date.now() - 55_000);
    await utimes(lockFile(folder), before, before);
    await expect(lockFolder(folder)).rejects.toThrow(/on elsewhere/);
    const longAgo = new Date(Date.now() - 61_000);
    await utimes(lockFile(folder), longAgo, longAgo);
    await (await lockFolder(folder)).release();
  });

  it("is not taken from a living process of this machine, however busy it is and whatever the lock's date", async () => {
    const folder = await freshFolder();
    const holder = locker();
    try {
      await reply(holder);
      holder.send({ folder, busySeconds: 20 } as never);
      expect(await reply(holder)).toBe("held");
      const begun = Date.now();
      for (const date of [new Date(0), new Date(Date.now() + 86_400_000)]) {
        await utimes(lockFile(folder), date, date);
        await expect(lockFolder(folder)).rejects.toThrow(`being written by process ${holder.pid}`);
      }
      // Its own thread is busy all the while: another gives the sign of life, by the disk's clock.
      await utimes(lockFile(folder), new Date(0), new Date(0));
      await vi.waitFor(async () => expect((await stat(lockFile(folder))).mtimeMs).toBeGreaterThan(begun), {
        timeout: 12_000,
        interval: 200,
      });
      expect(Date.now() - begun).toBeLessThan(18_000);
    } finally {
      holder.kill("SIGKILL");
    }
  }, 40_000);

  it("is taken at once from a process whose number another has now", async () => {
    const folder = await freshFolder();
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      const owner = { host: hostname(), machine: thisMachine, pid: other.pid, thread: 0, id: "x" };
      const { start } = processAt(other.pid!)!;
      await writeFile(lockFile(folder), JSON.stringify({ ...owner, start }));
      await expect(lockFolder(folder)).rejects.toThrow(`process ${other.pid}`);
      if (start === undefined) return;
      await writeFile(lockFile(folder), JSON.stringify({ ...owner, start: `${start}0` }));
      await (await lockFolder(folder)).release();
    } finally {
      other.kill();
    }
  });

  it("is waited for where its owner ends with a process that was killed, and the person hears why", async () => {
    const folder = await freshFolder();
    const owner = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]);
    const here = {
      host: hostname(),
      machine: thisMachine,
      pid: owner.pid,
      start: processAt(owner.pid!)?.start,
      thread: 0,
    };
    const of = (parent: number) => JSON.stringify({ ...here, id: "x", endsWith: { pid: parent } });
    const notes: string[] = [];
    // A parent that lives: the command is at work.
    await writeFile(lockFile(folder), of(process.pid));
    await expect(lockFolder(folder, (note) => notes.push(note))).rejects.toThrow(`process ${owner.pid}`);
    expect(notes).toEqual([]);
    await writeFile(lockFile(folder), of(deadPid));
    setTimeout(() => owner.kill("SIGKILL"), 700);
    await (await lockFolder(folder, (note) => notes.push(note))).release();
    expect(notes).toEqual([
      `Waiting for process ${owner.pid} to end: the command that it worked for was killed.`,
    ]);
  });

  it("is left to the one who has taken it over", async () => {
    const folder = await freshFolder();
    const lock = await lockFolder(folder);
    await writeFile(lockFile(folder), ownedBy(process.pid, "another"));
    await lock.release();
    expect(await readFile(lockFile(folder), "utf8")).toBe(ownedBy(process.pid, "another"));
  });

  it("works where the file system has no hard links", async () => {
    system.links = false;
    for (const [, make] of kinds) {
      const folder = await make();
      const tries = await Promise.allSettled([lockFolder(folder), lockFolder(folder), lockFolder(folder)]);
      const locks = tries.flatMap((t): FolderLock[] => (t.status === "fulfilled" ? [t.value] : []));
      expect(locks).toHaveLength(1);
      expect(await readdir(folder)).toEqual(["lock.json"]);
      await locks[0].release();
    }
  });
});

describe("shares of a folder", () => {
  it("are had by several at once, and lock the folder for whoever would have it alone", async () => {
    const folder = await freshFolder();
    const shares = [await shareFolder(folder), await shareFolder(folder)];
    await expect(lockFolder(folder)).rejects.toThrow(`being written by process ${process.pid}`);
    await shares[0].release();
    await expect(lockFolder(folder)).rejects.toThrow(DataError);
    await shares[1].release();
    expect(await readdir(folder)).toEqual([]);
    await (await lockFolder(folder)).release();
  });

  it("are refused where the folder is locked, and leave nothing then", async () => {
    const folder = await freshFolder();
    const lock = await lockFolder(folder);
    await expect(shareFolder(folder)).rejects.toThrow(`being written by process ${process.pid}`);
    expect(await readdir(folder)).toEqual(["lock.json"]);
    await lock.release();
  });

  it("of processes that have ended are nobody's, and are removed", async () => {
    const folder = await freshFolder();
    const left = join(folder, "share-0.json");
    await writeFile(left, ownedBy(deadPid));
    const share = await shareFolder(folder);
    await share.release();
    expect(await readdir(folder)).toEqual([]);
    await writeFile(left, ownedBy(deadPid));
    await (await lockFolder(folder)).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it("are had too where another has removed the empty folder meanwhile", async () => {
    const folder = join(root, "gone");
    const share = await shareFolder(folder);
    expect(await readdir(folder)).toHaveLength(1);
    await share.release();
  });
});

it.skipIf(process.platform === "win32")(
  "what is no lock, in a lock's place, is named and not waited for",
  async () => {
    const folder = await freshFolder();
    const file = join(folder, "lock.json");
    spawnSync("mkfifo", [file]);
    await expect(lockFolder(folder)).rejects.toThrow(
      /lock\.json is not a lock \(it is a folder, a pipe or far too long\)/,
    );
    await rm(file);
    await (await lockFolder(folder)).release();
  },
);
