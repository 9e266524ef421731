import type { Events, Name, Reply, Request, Requests } from "./protocol.ts";

/** The worker, as the page talks to it. */
export class Engine {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #next = 0;

  constructor(onEvent: (event: Events) => void, onCrash: (message: string) => void) {
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "engine" });
    this.#worker.onmessage = ({ data }: MessageEvent<Reply | Events>) => {
      if ("event" in data) {
        onEvent(data);
        return;
      }
      const waiting = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data.value);
    };
    this.#worker.onerror = (event) => onCrash(event.message);
  }

  /** Calls a function of the worker's. What is in `transfer` is given away. */
  call<N extends Name>(
    name: N,
    args: Parameters<Requests[N]>,
    transfer: Transferable[] = [],
  ): Promise<ReturnType<Requests[N]>> {
    const id = this.#next++;
    const request: Request = { id, name, args };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage(request, transfer);
    });
  }
}
