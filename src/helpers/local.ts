import type { Helper } from "./process.ts";
import type { Service } from "./serve.ts";

/**
 * A service in this process, where another process is not worth its start.
 * @param last what the service is sent at its end
 */
export function localHelper(service: Service, last: unknown): Helper {
  let queue: Promise<unknown> = Promise.resolve();
  return {
    pid: undefined,
    request<Reply>(_: string, request: unknown) {
      const reply = queue.then(() => service(request)) as Promise<Reply>;
      queue = reply.catch(() => undefined);
      return reply;
    },
    async end() {
      await queue;
      await service(last);
    },
  };
}
