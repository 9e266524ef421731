/**
 * `node:fs/promises` with operations that can be made to fail: `vi.mock("node:fs/promises", …)` with `failing`.
 * Counted are those that change the disk. From the chosen one on the process is "dead": that operation and all
 * later ones fail, clean-up included, a write after half of its bytes.
 */
export const disk = {
  /** Changing operations seen since the last `reset`. */
  operations: 0,
  /** Files that are open for writing. */
  handles: 0,
  /** Which of them fails first, from 1. */
  failAt: Number.POSITIVE_INFINITY,
  /** Whether everything after it fails too: a kill, and not a full disk. */
  dies: true,
  code: "EIO",
  /** Whether there are symbolic links. */
  symlinks: true,
  reset(failAt = Number.POSITIVE_INFINITY, options: { dies?: boolean; code?: string } = {}) {
    this.operations = 0;
    this.failAt = failAt;
    this.dies = options.dies ?? true;
    this.code = options.code ?? "EIO";
    this.symlinks = true;
  },
};

type Operation = (...args: unknown[]) => Promise<unknown>;
const changing = new Set([
  "mkdir",
  "rename",
  "rm",
  "unlink",
  "writeFile",
  "appendFile",
  "copyFile",
  "link",
  "symlink",
  "truncate",
]);
const changingHandle = new Set(["write", "writeFile", "sync", "datasync", "truncate"]);

function fails(): boolean {
  disk.operations++;
  return disk.dies ? disk.operations >= disk.failAt : disk.operations === disk.failAt;
}

const failure = (): Error =>
  Object.assign(new Error(`${disk.code}: made to fail`), { code: disk.code, syscall: "write" });

/** The module with failing operations. */
export function failing<Module extends object>(original: Module): Module {
  const wrapped: Record<string, unknown> = Object.fromEntries(Object.entries(original));
  for (const [name, operation] of Object.entries(original)) {
    if (changing.has(name)) {
      wrapped[name] = async (...args: unknown[]) => {
        if (!fails() && (name !== "symlink" || disk.symlinks)) return (operation as Operation)(...args);
        const [path, data, options] = args;
        if (name === "writeFile" && typeof data === "string") {
          await (operation as Operation)(path, data.slice(0, data.length / 2), options);
        }
        if (name === "copyFile") {
          const bytes = (await (wrapped.readFile as Operation)(path)) as Uint8Array;
          await (original as { writeFile: Operation }).writeFile(data, bytes.subarray(0, bytes.length / 2));
        }
        throw failure();
      };
    }
  }
  const open = wrapped.open as (...args: unknown[]) => Promise<object>;
  wrapped.open = async (...args: unknown[]) => {
    const writes = typeof args[1] === "string" && args[1] !== "r";
    if (writes && fails()) throw failure();
    const handle = await open(...args);
    disk.handles += Number(writes);
    return new Proxy(handle, {
      get(target, key) {
        const value = Reflect.get(target, key, target) as unknown;
        if (typeof value !== "function") return value;
        const bound = (value as Operation).bind(target);
        if (key === "close") {
          return () => {
            disk.handles -= Number(writes);
            return bound();
          };
        }
        if (!changingHandle.has(String(key))) return bound;
        return async (...given: unknown[]) => {
          if (!fails()) return bound(...given);
          const [bytes] = given;
          if (key === "write" && bytes instanceof Uint8Array)
            await bound(bytes.subarray(0, bytes.length / 2));
          throw failure();
        };
      },
    });
  };
  return { ...wrapped, default: wrapped } as unknown as Module;
}
