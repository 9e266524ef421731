import { describe, expect, it } from "vitest";
import { ReplacedHolder } from "../../src/distill/replaced-holder.ts";
import type { ShardHolder, ShardRequest, ShardSetup } from "../../src/distill/shard-messages.ts";
import { NumericalError, ProcessError } from "../../src/errors.ts";
import { HelperLost } from "../../src/helpers/helper-lost.ts";

/** A holder that notes what it is asked, and is lost at the requests that `dies` names. */
function holders(dies: (holder: number, request: ShardRequest) => boolean) {
  const asked: string[][] = [];
  const ended: number[] = [];
  const make = (): ShardHolder => {
    const index = asked.push([]) - 1;
    let lost = false;
    return {
      async request(request) {
        lost ||= dies(index, request);
        if (lost) throw new HelperLost("A helper process was ended by SIGKILL.");
        const { kind } = request;
        asked[index].push("step" in request ? `${kind} ${request.step}` : kind);
        return [] as never;
      },
      async end() {
        ended.push(index);
      },
    };
  };
  return { asked, ended, make };
}

const setup = {} as ShardSetup;
const reload = async () => [];
const features = (step: number) => ({ kind: "features", step, levels: 1 }) as const;
const update = { kind: "update", learningRate: 0.1, cotangents: [] } as const;

describe("a holder that is replaced", () => {
  it("is sent what came since the last saved state, each request once and in order", async () => {
    const { asked, make } = holders(
      (index, request) => index === 0 && request.kind === "update" && request === last,
    );
    const last = { ...update };
    const holder = new ReplacedHolder(make, setup, reload);
    await holder.start();
    await holder.request(features(0));
    await holder.request(update);
    const forget = holder.mark();
    await holder.request({ kind: "parameters" });
    forget();
    await holder.request(features(1));
    await holder.request(update);
    await holder.request(features(2));
    // Both are on their way when the holder is lost.
    await Promise.all([holder.request(last), holder.request(features(3))]);
    expect(asked[1]).toEqual(["start", "features 1", "update", "features 2", "update", "features 3"]);
  });

  it("is given up with the reason once it has been lost three times in a row", async () => {
    const { asked, ended, make } = holders(() => true);
    const holder = new ReplacedHolder(make, setup, reload);
    await expect(holder.start()).rejects.toThrow(ProcessError);
    await expect(new ReplacedHolder(make, setup, reload).start()).rejects.toThrow(
      /ended by SIGKILL.*started 3 times.*`threads`/,
    );
    expect(asked.length).toBe(6);
    expect(ended).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("is not replaced for what its work throws", async () => {
    let made = 0;
    const make = (): ShardHolder => {
      made++;
      return {
        async request(request) {
          if (request.kind === "features") throw new NumericalError("not finite");
          return [] as never;
        },
        async end() {},
      };
    };
    const holder = new ReplacedHolder(make, setup, reload);
    await holder.start();
    await expect(holder.request(features(0))).rejects.toThrow(NumericalError);
    expect(made).toBe(1);
  });
});
