import { Worker } from "node:worker_threads";

/** Seconds between two signs of life. */
export const heartbeatSeconds = 5;

/**
 * Writes the first byte of each file again, which is the same in every lock: so the file's time becomes that of the disk,
 * whatever this machine's clock says. A file that is gone is let be.
 */
const program = `
  const { closeSync, openSync, readSync, writeSync } = require("node:fs");
  const { parentPort } = require("node:worker_threads");
  const files = new Set();
  parentPort.on("message", ({ file, beats }) => (beats ? files.add(file) : files.delete(file)));
  const byte = Buffer.alloc(1);
  setInterval(() => {
    for (const file of files) {
      try {
        const open = openSync(file, "r+");
        try {
          if (readSync(open, byte, 0, 1, 0) === 1) writeSync(open, byte, 0, 1, 0);
        } finally {
          closeSync(open);
        }
      } catch {}
    }
  }, ${heartbeatSeconds * 1000});`;

let worker: Worker | undefined;
const beating = new Set<string>();

/**
 * Gives a file a new time every five seconds, from a thread of its own: this one may be busy for as long as it likes.
 * @returns ends it
 */
export function beat(file: string): () => void {
  beating.add(file);
  started()?.postMessage({ file, beats: true });
  return () => {
    beating.delete(file);
    worker?.postMessage({ file, beats: false });
  };
}

/** undefined where the system has no thread left: others of this machine look at the process all the same. */
function started(): Worker | undefined {
  if (worker !== undefined) return worker;
  try {
    const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 8, stackSizeMb: 1 };
    const own = new Worker(program, { eval: true, execArgv: [], resourceLimits });
    own.on("error", () => {});
    own.on("exit", () => {
      if (worker === own) worker = undefined;
    });
    own.unref();
    worker = own;
    for (const file of beating) own.postMessage({ file, beats: true });
  } catch {
    worker = undefined;
  }
  return worker;
}
