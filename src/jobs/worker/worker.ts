import { parentPort } from "node:worker_threads";
import { withAdvice } from "../../encoder/advice.ts";
import { serializeError } from "../../serialized-error.ts";
import { jobs } from "../table.ts";
import type { FromEngine, ToEngine } from "./protocol.ts";

// ONNX Runtime blocks the thread it runs on: everything that runs a model lives in this one worker, so that
// progress, signals and cancellation stay alive in the caller's thread.

const port = parentPort!;
const controllers = new Map<number, AbortController>();
const send = (message: FromEngine, transfer: readonly ArrayBuffer[] = []) =>
  port.postMessage(message, [...transfer]);

port.on("message", async (message: ToEngine) => {
  if (message.kind === "abort") {
    controllers.get(message.id)?.abort();
    return;
  }
  const { id, job, params } = message;
  const controller = new AbortController();
  controllers.set(id, controller);
  try {
    const run = jobs[job];
    if (run === undefined) throw new Error(`the engine has no job "${job}"`);
    const result = await run(params, {
      signal: controller.signal,
      progress: (progress) => send({ kind: "progress", id, progress }),
      note: (text) => send({ kind: "note", id, message: text }),
    });
    send({ kind: "result", id, result }, transferable(result));
  } catch (error) {
    send({ kind: "error", id, error: serializeError(withAdvice(error)) });
  } finally {
    controllers.delete(id);
  }
});

/** Large arrays move instead of being copied. */
function transferable(result: unknown): ArrayBuffer[] {
  return result instanceof Float32Array && result.buffer instanceof ArrayBuffer ? [result.buffer] : [];
}
