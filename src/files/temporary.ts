import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processRuns } from "./processes.ts";

/** A folder for files of this process alone, and what removes it. */
export interface TemporaryFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Makes a temporary folder, and removes those of the same kind whose process was killed before it could. */
export async function temporaryFolder(kind: string): Promise<TemporaryFolder> {
  const prefix = `clp-dd-${kind}-`;
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (pid > 0 && !processRuns(pid))
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {});
  }
  const path = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
