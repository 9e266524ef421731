import { execFileSync } from "node:child_process";
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hashOf, run } from "./torture-run.ts";
import { type Home, setFiles } from "./torture-works.ts";

/** Something that happens to a run. Undefined where it cannot be made to happen here. */
interface Surrounding {
  readonly name: string;
  /** Whether the run ended as if it had not, or said what to do and then did. */
  happens(): Promise<boolean | undefined>;
}

/** Mounts a small disk; false where that is not allowed. */
function mounted(folder: string, size: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/**
 * A full and a read-only disk, a lost cache, two processes at once, a wrong clock.
 * @param expected the hash of the set that a run leaves undisturbed
 */
export function surroundings({ at, distil, fresh, works: [work] }: Home, expected: string): Surrounding[] {
  const isExpected = async (folder = at("out")) => (await hashOf(folder, setFiles)) === expected;
  const resumed = async () => (await run(work.again())).code === 0 && (await isExpected());
  const stopped = () => run(distil, { after: 3000, what: "all" });
  const onDisk = async (change: (disk: string) => Promise<void>) => {
    const disk = at("disk");
    await mkdir(disk, { recursive: true });
    if (!mounted(disk, "128k")) return undefined;
    const args = [...distil.slice(0, -1), join(disk, "out")];
    try {
      await change(disk);
      const refused = await run(args);
      if (refused.code !== 1 || !/disk is (full|read-only)/.test(refused.stderr)) return false;
      execFileSync("mount", ["-o", "remount,rw,size=64m", disk]);
      const again = await run([...args, ...(/--resume/.test(refused.stderr) ? ["--resume"] : [])]);
      return again.code === 0 && (await isExpected(join(disk, "out")));
    } finally {
      execFileSync("umount", [disk]);
    }
  };
  return [
    {
      name: "full disk",
      happens: () => onDisk((disk) => writeFile(join(disk, "fill"), Buffer.alloc(100 * 1024))),
    },
    {
      name: "read-only disk",
      happens: () => onDisk(async (disk) => void execFileSync("mount", ["-o", "remount,ro", disk])),
    },
    {
      name: "lost cache",
      async happens() {
        await stopped();
        await fresh("cache");
        return resumed();
      },
    },
    {
      name: "two processes",
      async happens() {
        const both = await Promise.all([run(distil), run(distil)]);
        const refused = both.filter(({ code }) => code !== 0);
        const named = refused.every(({ stderr }) => /process|already holds/.test(stderr));
        return refused.length === 1 && named && (await isExpected());
      },
    },
    {
      name: "wrong clock",
      async happens() {
        await stopped();
        // What the killed process left is of a year from now.
        const future = new Date(Date.now() + 365 * 86_400_000);
        for (const name of await readdir(at(""), { recursive: true }))
          await utimes(at(name), future, future).catch(() => {});
        return resumed();
      },
    },
  ];
}
