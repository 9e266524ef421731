import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import { machinesFixture, stepOf, type TestWorker, until } from "../support/machines.ts";
import { noServer, type RedisServer, startProxy, startRedis } from "../support/redis.ts";

/** Numbers in [0, 1), the same in every run of the test. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

const kills = Number(process.env.CLP_DD_KILLS ?? 50);

describe.skipIf(noServer !== undefined)(
  `faults of a run on several machines${noServer ? ` (${noServer})` : ""}`,
  { timeout: 1_800_000 },
  () => {
    let redis: RedisServer;
    let fixture: Awaited<ReturnType<typeof machinesFixture>>;
    let alone: Buffer;
    beforeAll(async () => {
      redis = await startRedis();
      fixture = await machinesFixture(60);
      const { code, stderr } = await clpdd([...fixture.args, "--out", fixture.at("alone")]);
      expect(code, stderr).toBe(0);
      alone = await fixture.exact("alone");
    }, 600_000);
    afterAll(async () => {
      await fixture?.end();
      await redis?.end();
    });
    const running = (run: string, step = 2) =>
      until(`step ${step} of ${run}`, () => stepOf(redis.cli, run) >= step, 300);
    const ends = async (worker: TestWorker) => {
      const { code, stderr } = await worker.ended;
      expect(code, stderr).toBe(0);
    };

    it(`gives the bits of the run alone while workers are killed at ${kills} random moments`, async () => {
      const next = random(1);
      let killed = 0;
      for (let run = 0; killed < kills; run++) {
        const name = `kill${run}`;
        const workers: TestWorker[] = [];
        const start = () => {
          const worker = fixture.worker(redis.port, name, { more: ["--resume"] });
          workers.push(worker);
          void worker.ended.then(() => workers.splice(workers.indexOf(worker), 1));
        };
        for (let i = 0; i < 3; i++) start();
        while (!existsSync(fixture.at(name)) && killed < kills) {
          await new Promise((resolve) => setTimeout(resolve, 4000 * next()));
          const victim = workers[Math.floor(next() * workers.length)];
          if (victim === undefined || existsSync(fixture.at(name))) continue;
          victim.signal("SIGKILL");
          killed++;
          start();
        }
        await Promise.all(workers.map((worker) => worker.ended));
        expect(await fixture.exact(name), name).toEqual(alone);
      }
    });

    it("does so where a worker stands still for longer than its lease and then continues", async () => {
      const zombie = fixture.worker(redis.port, "stop");
      const other = fixture.worker(redis.port, "stop");
      await running("stop");
      zombie.signal("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, 6000));
      zombie.signal("SIGCONT");
      await Promise.all([ends(zombie), ends(other)]);
      expect(await fixture.exact("stop")).toEqual(alone);
    });

    it("does so where the server is killed and comes back with its data", async () => {
      const workers = [fixture.worker(redis.port, "data"), fixture.worker(redis.port, "data")];
      await running("data", 5);
      await redis.restart(true);
      await Promise.all(workers.map(ends));
      expect(await fixture.exact("data")).toEqual(alone);
    });

    it("ends with a clear error where the server comes back without its data, and --resume completes the run", async () => {
      const workers = [fixture.worker(redis.port, "gone"), fixture.worker(redis.port, "gone")];
      await running("gone", 5);
      await redis.restart(false);
      for (const worker of workers) {
        const { code, stderr } = await worker.ended;
        expect(code).toBe(1);
        expect(stderr).toMatch(/no longer knows this run.*--resume/s);
        expect(stderr).not.toContain("looks like a defect");
      }
      const again = [1, 2].map(() => fixture.worker(redis.port, "gone", { more: ["--resume"] }));
      await Promise.all(again.map(ends));
      expect(await fixture.exact("gone")).toEqual(alone);
    });

    it("ends a worker whose network is cut, with the deadline in its message, and the others finish", async () => {
      const proxy = await startProxy(redis.port);
      const cut = fixture.worker(proxy.port, "cut", { patience: 6 });
      const other = fixture.worker(redis.port, "cut");
      await running("cut");
      proxy.cut(true);
      const { code, stderr } = await cut.ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/did not answer for 6 s/);
      await ends(other);
      await proxy.end();
      expect(await fixture.exact("cut")).toEqual(alone);
    });

    it("refuses a worker of another version or with another folder, and does not mind a wrong clock", async () => {
      const late = "data:text/javascript,const now=Date.now;Date.now=()=>now()+3600000";
      const options = { env: { NODE_OPTIONS: `--import=${late}` }, lease: 300, patience: 600 };
      const first = fixture.worker(redis.port, "terms", options);
      await running("terms");
      first.signal("SIGSTOP");
      const { code, stderr } = await fixture.worker(redis.port, "terms", { out: "elsewhere" }).ended;
      expect(code).toBe(1);
      expect(stderr).toMatch(/is not the folder of the run/);
      first.signal("SIGCONT");
      const other = fixture.worker(redis.port, "terms");
      await Promise.all([ends(first), ends(other)]);
      expect(await fixture.exact("terms")).toEqual(alone);

      const key = "clp-dd:{terms}:record";
      const terms = JSON.parse(redis.cli("HGET", key, "terms")) as object;
      redis.cli("HSET", key, "state", "running");
      redis.cli("HSET", key, "terms", JSON.stringify({ ...terms, version: "0.0.9" }));
      const old = await fixture.worker(redis.port, "terms", { more: ["--resume"] }).ended;
      expect(old.code).toBe(2);
      expect(old.stderr).toMatch(/clp-dd is 0\.0\.9 there/);
    });
  },
);
