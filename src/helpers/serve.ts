import { serializeError } from "../serialized-error.ts";
import { endWithParent } from "./end-with-parent.ts";
import { type HelperReply, type HelperRequest, loadService } from "./messages.ts";

/** What a helper can do, by name: each service is loaded when it is first asked for, and may keep a state. */
export type Services = Readonly<Record<string, () => Promise<Service>>>;
export type Service = (request: unknown) => Promise<unknown>;

/** Answers the parent's requests for as long as it lives. */
export function serve(services: Services): void {
  endWithParent();
  const open = new Map<string, Promise<Service>>();
  const opened = (name: string): Promise<Service> => {
    const load = services[name];
    if (load === undefined) throw new Error(`a helper has no service "${name}"`);
    const known = open.get(name) ?? load();
    open.set(name, known);
    return known;
  };
  const answer = async ({ id, service, request }: HelperRequest): Promise<HelperReply> => {
    try {
      if (service === loadService) {
        await opened(String(request));
        return { id, reply: null };
      }
      return { id, reply: await (await opened(service))(request) };
    } catch (error) {
      return { id, error: serializeError(error) };
    }
  };
  let queue = Promise.resolve();
  process.on("message", (message) => {
    queue = queue.then(async () => {
      const reply = await answer(message as HelperRequest);
      process.send?.(reply, undefined, undefined, () => {});
    });
  });
}
