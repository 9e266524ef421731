import { type ChildProcess, fork } from "node:child_process";
import { workerUrl } from "../files/worker-url.ts";
import { countProcess } from "../memory.ts";
import { deserializeError } from "../serialized-error.ts";
import { HelperLost } from "./helper-lost.ts";
import type { HelperReply, HelperRequest } from "./messages.ts";

/** A process that works for this one: it answers requests, one after the other. */
export interface Helper {
  readonly pid: number | undefined;
  /** @throws HelperLost when the process ends before it has answered; what the service throws */
  request<Reply>(service: string, request: unknown): Promise<Reply>;
  /** Ends the process at once. */
  end(): Promise<void>;
}

/** What is kept of a helper's standard error, to say why it ended. */
const lastWords = 2000;

/**
 * Room for new JavaScript objects, which V8 would let grow to 48 MiB while graphs are read and derived. The numbers are
 * in arrays elsewhere; steps take the same time with a sixth of it (docs/notes/performance.md).
 */
export const youngGenerationFlag = "--max-semi-space-size=2";

const alive = new Set<number>();

/** The helper processes of this one that are alive. */
export const helperProcesses = (): readonly number[] => [...alive];

/** Who hears that this process has other helpers than before. */
let onHelpers: (pids: readonly number[]) => void = () => {};

/** Passes to `heard` the helper processes whenever one comes or goes. */
export function whenHelpersChange(heard: (pids: readonly number[]) => void): void {
  onHelpers = heard;
}

/** Starts a helper process; it does not keep this one alive, and ends with it. */
export function startHelper(): Helper {
  const url = workerUrl(import.meta.url, "../jobs/worker/helper.ts");
  const child = fork(url, [], {
    execArgv: [youngGenerationFlag],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  const forget = child.pid === undefined ? undefined : countProcess(child.pid);
  if (child.pid !== undefined) {
    alive.add(child.pid);
    onHelpers(helperProcesses());
  }
  const waiting = new Map<number, { resolve(reply: unknown): void; reject(error: Error): void }>();
  let count = 0;
  let words = "";
  let lost: HelperLost | undefined;
  const ended = new Promise<void>((resolve) => {
    const lose = (reason: string) => {
      lost ??= new HelperLost(`A helper process ${reason}${words === "" ? "." : `: ${words.trim()}`}`);
      for (const { reject } of waiting.values()) reject(lost);
      waiting.clear();
      if (alive.delete(child.pid ?? 0)) onHelpers(helperProcesses());
      resolve();
    };
    child.on("error", (error) => lose(`cannot be started (${error.message})`));
    child.on("close", (code, signal) =>
      lose(signal === null ? `ended with code ${code}` : `was ended by ${signal}`),
    );
  });
  child.stderr!.on("data", (data) => {
    words = `${words}${data}`.slice(-lastWords);
  });
  child.on("message", (message) => {
    const answer = message as HelperReply;
    const asked = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) idle(child);
    if ("error" in answer) asked?.reject(deserializeError(answer.error));
    else asked?.resolve(answer.reply);
  });
  idle(child);
  return {
    pid: child.pid,
    request<Reply>(service: string, request: unknown) {
      if (lost) return Promise.reject(lost);
      const id = count++;
      awake(child);
      return new Promise<Reply>((resolve, reject) => {
        waiting.set(id, { resolve: resolve as (reply: unknown) => void, reject });
        // A process that is ending is noticed by its end.
        child.send({ id, service, request } satisfies HelperRequest, () => {});
      });
    },
    async end() {
      await forget?.();
      // Whoever waits for the end is kept alive by it: else a program that has nothing else to do ends in the middle.
      awake(child);
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Keeps this process alive for as long as a helper has something to do. */
function awake(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
  (child.stderr as unknown as { ref?(): void } | null)?.ref?.();
}

/** Lets this process end while a helper has nothing to do. */
function idle(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  (child.stderr as unknown as { unref?(): void } | null)?.unref?.();
}
