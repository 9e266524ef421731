import { readdir, readFile } from "node:fs/promises";

/** Bytes in memory of the largest page process that this process's browsers have; undefined where the system does not say. */
export async function rendererBytes(): Promise<number | undefined> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const parents = new Map<number, number>();
  const renderers: number[] = [];
  for (const pid of pids) {
    const [stat, command] = await Promise.all(
      ["stat", "cmdline"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "")),
    );
    // Behind the name in parentheses: state, parent.
    const parent = Number(stat!.slice(stat!.lastIndexOf(")") + 2).split(" ")[1]);
    parents.set(Number(pid), parent);
    if (command!.includes("--type=renderer")) renderers.push(Number(pid));
  }
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (pid === process.pid || isOurs(parents.get(pid)));
  const sizes = await Promise.all(
    renderers.filter(isOurs).map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      return 1024 * Number(/VmRSS:\s*(\d+)/.exec(status)?.[1] ?? 0);
    }),
  );
  return sizes.length === 0 ? undefined : Math.max(...sizes);
}
