/**
 * The process in which jobs run. ONNX Runtime blocks the thread it runs on: so progress, signals and cancellation stay
 * alive in the caller's process, which can end this one at any time.
 */
import type { JobContext } from "../../context.ts";
import { withAdvice } from "../../encoder/advice.ts";
import { endWithParent } from "../../helpers/end-with-parent.ts";
import { whenHelpersChange } from "../../helpers/process.ts";
import { countProcess } from "../../memory.ts";
import { serializeError } from "../../serialized-error.ts";
import { jobs } from "../job-table.ts";
import type { FromWorker, ToWorker } from "./job-messages.ts";

endWithParent();
// The command line's process is part of what a command needs.
countProcess(process.ppid);

const controllers = new Map<number, AbortController>();
/** A message to a caller that has ended is nobody's. */
const send = (message: FromWorker) => process.send?.(message, undefined, undefined, () => {});

whenHelpersChange((pids) => send({ kind: "helpers", pids }));

process.on("message", async (received) => {
  const message = received as ToWorker;
  if (message.kind === "abort") {
    controllers.get(message.id)?.abort();
    return;
  }
  if (message.kind === "load") {
    // A failure is said to whoever asks for the job.
    await jobs[message.job]().catch(() => {});
    return;
  }
  const { id, job, params } = message;
  const controller = new AbortController();
  controllers.set(id, controller);
  try {
    // The client checks parameters against the table; here the jobs differ by name alone.
    const run: (params: never, context: JobContext) => Promise<unknown> = await jobs[job]();
    const result = await run(params as never, {
      signal: controller.signal,
      progress: (progress) => send({ kind: "progress", id, progress }),
      note: (text) => send({ kind: "note", id, message: text }),
    });
    send({ kind: "result", id, result });
  } catch (error) {
    send({ kind: "error", id, error: serializeError(withAdvice(error)) });
  } finally {
    controllers.delete(id);
  }
});
