import { Worker } from "node:worker_threads";
import { declareEndsWithParent } from "../files/processes.ts";

/** How often a process looks whether its parent is alive, milliseconds. */
const every = 500;

/**
 * Ends this process when the one that started it has ended, however that came about. A thread looks, because a model may
 * keep this one busy for as long as it likes. An interrupt from the terminal reaches every process: what it means is the
 * parent's to say.
 */
export function endWithParent(): void {
  declareEndsWithParent();
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => {});
  process.on("SIGHUP", () => {});
  process.on("disconnect", () => process.exit(0));
  const watch = `setInterval(() => {
    if (process.ppid !== ${process.ppid}) process.kill(process.pid, "SIGKILL");
  }, ${every});`;
  const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 8, stackSizeMb: 1 };
  new Worker(watch, { eval: true, execArgv: [], resourceLimits }).unref();
}
