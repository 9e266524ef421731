import { ProcessError } from "../errors.ts";
import { HelperLost } from "./helper-lost.ts";
import type { Helper } from "./process.ts";

/** How often in a row helpers may be lost before one has answered anything. */
const mostLosses = 3;

/**
 * Helpers that share tasks out which depend on nothing that came before. One that is lost is replaced, and its tasks are
 * given to the new one.
 */
export class HelperPool<Setup, Task, Reply> {
  readonly #make: () => Helper;
  readonly #service: string;
  readonly #setup: Setup;
  readonly #members: Member[];
  #losses = 0;
  #ended = false;

  /** @param setup the first request that each helper gets */
  constructor(make: () => Helper, size: number, service: string, setup: Setup) {
    this.#make = make;
    this.#service = service;
    this.#setup = setup;
    this.#members = Array.from({ length: size }, () => ({ helper: undefined, tasks: 0 }));
  }

  get size(): number {
    return this.#members.length;
  }

  /** Does a task, by the helper with the least to do. @throws HelperLost once the pool was ended */
  async run(task: Task): Promise<Reply> {
    if (this.#ended) throw new HelperLost("The processes were ended before this was done.");
    const member = this.#members.reduce((least, other) => (other.tasks < least.tasks ? other : least));
    member.tasks++;
    try {
      for (;;) {
        member.helper ??= this.#started();
        const ready = member.helper;
        try {
          const reply = await (await ready).request<Reply>(this.#service, task);
          this.#losses = 0;
          return reply;
        } catch (error) {
          if (!(error instanceof HelperLost) || this.#ended) throw error;
          // The first of the tasks that it had replaces it.
          if (member.helper !== ready) continue;
          member.helper = undefined;
          if (++this.#losses >= mostLosses) {
            throw new ProcessError(
              `${error.message} It was started ${mostLosses} times. Give fewer \`threads\` or a smaller \`memoryBytes\`.`,
              { cause: error },
            );
          }
        }
      }
    } finally {
      member.tasks--;
    }
  }

  async #started(): Promise<Helper> {
    const helper = this.#make();
    try {
      await helper.request(this.#service, this.#setup);
      return helper;
    } catch (error) {
      await helper.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    for (const { helper } of this.#members) {
      const started = await helper?.catch(() => undefined);
      await started?.end();
    }
  }
}

interface Member {
  helper: Promise<Helper> | undefined;
  tasks: number;
}
