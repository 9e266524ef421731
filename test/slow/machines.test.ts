import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import { machinesFixture, shownOf, stepOf, type TestWorker, until } from "../support/machines.ts";
import { descendants } from "../support/processes.ts";
import {
  makeCertificate,
  noCertificate,
  noServer,
  type RedisServer,
  startProxy,
  startRedis,
} from "../support/redis.ts";

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
    /** Completes a run, whatever became of it, and compares it with the run alone. */
    const completed = async (run: string) => {
      if (!existsSync(fixture.at(run))) await ends(fixture.worker(redis.port, run, { more: ["--resume"] }));
      expect(await fixture.exact(run), run).toEqual(alone);
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

    it("does so where the network is back before anyone gives up", async () => {
      const proxy = await startProxy(redis.port);
      const workers = [fixture.worker(proxy.port, "back"), fixture.worker(proxy.port, "back")];
      await running("back", 5);
      proxy.cut(true);
      // Longer than a lease: the server takes all workers for dead.
      await new Promise((resolve) => setTimeout(resolve, 5000));
      proxy.cut(false);
      await Promise.all(workers.map(ends));
      await proxy.end();
      expect(await fixture.exact("back")).toEqual(alone);
    });

    it("refuses a second run under the same name, and a run alone in the same folder, while there are workers", async () => {
      const first = fixture.worker(redis.port, "name", { lease: 300, patience: 600 });
      await running("name");
      first.signal("SIGSTOP");
      const more = ["--steps", "61", "--overwrite"];
      const second = await fixture.worker(redis.port, "name", { more }).ended;
      expect(second.code, second.stderr).toBe(2);
      expect(second.stderr).toMatch(/is another one. What differs: steps \(60 then, 61 now\)/);
      const plain = await clpdd([...fixture.args, "--out", fixture.at("name"), "--overwrite"]);
      expect(plain.code, plain.stderr).toBe(1);
      expect(plain.stderr).toMatch(/name\.checkpoint is being written by process \d+/);
      first.signal("SIGCONT");
      await ends(first);
      expect(await fixture.exact("name")).toEqual(alone);
    });

    it("gives the bits of the run alone where the folder of the checkpoints vanishes, or ends with an error that names it", async () => {
      const workers = [1, 2].map(() => fixture.worker(redis.port, "lost"));
      await running("lost", 10);
      const folder = fixture.at("lost.checkpoint");
      rmSync(folder, { recursive: true, force: true });
      const outcomes = await Promise.all(workers.map(({ ended }) => ended));
      for (const { code, stderr } of outcomes) if (code !== 0) expect(stderr).toContain(folder);
      for (const { stderr } of outcomes) expect(stderr).not.toContain("looks like a defect");
      await completed("lost");
    });

    it("ends with an error that names the folder where nothing can be written into it, and --resume completes the run", async () => {
      const workers = [1, 2].map(() => fixture.worker(redis.port, "full"));
      await running("full", 10);
      const folder = fixture.at("full.checkpoint");
      // A file in its place: whoever runs as root may write into any folder.
      renameSync(folder, `${folder}.away`);
      writeFileSync(folder, "");
      for (const worker of workers) {
        const { code, stderr } = await worker.ended;
        expect(code).toBe(1);
        expect(stderr).toContain(folder);
        expect(stderr).not.toContain("looks like a defect");
      }
      rmSync(folder);
      renameSync(`${folder}.away`, folder);
      await completed("full");
    });

    it.skipIf(noCertificate !== undefined)(
      `does so through TLS, with the password in no output, file or process title${noCertificate ? ` (${noCertificate})` : ""}`,
      async () => {
        const password = "correct-horse-battery";
        const certificate = makeCertificate();
        const secure = await startRedis(["--requirepass", password], certificate);
        const address = `rediss://default:${password}@127.0.0.1:${secure.port}/tls`;
        const env = { NODE_EXTRA_CA_CERTS: certificate.certificate };
        const workers = [1, 2].map(() =>
          fixture.worker(secure.port, "tls", { more: ["--join", address], env }),
        );
        const cli = (...args: string[]) => secure.cli("--pass", password, "--no-auth-warning", ...args);
        await until("step 5 by TLS", () => stepOf(cli, "tls") >= 5, 300);
        for (const { child } of workers)
          for (const pid of [child.pid!, ...descendants(child.pid!)])
            expect(shownOf(pid)).not.toContain(password);
        await Promise.all(workers.map(ends));
        for (const { printed } of workers) expect(printed()).not.toContain(password);
        for (const name of readdirSync(fixture.at("tls"), { recursive: true, withFileTypes: true }))
          if (name.isFile())
            expect(readFileSync(join(name.parentPath, name.name)).includes(password), name.name).toBe(false);
        expect(await fixture.exact("tls")).toEqual(alone);
        await secure.end();
        certificate.remove();
      },
    );

    it("refuses a worker of another version or with another folder, and does not mind a wrong clock", async () => {
      // Escaped: options in the environment end at spaces.
      const late = `data:text/javascript,${encodeURIComponent("const now = Date.now; Date.now = () => now() + 3600000")}`;
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
