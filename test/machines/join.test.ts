import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import { machinesFixture, shownOf, stepOf, until } from "../support/machines.ts";
import { noServer, type RedisServer, startRedis } from "../support/redis.ts";

describe.skipIf(noServer !== undefined)(
  `distilling on several machines${noServer ? ` (${noServer})` : ""}`,
  { timeout: 400_000 },
  () => {
    let redis: RedisServer;
    let fixture: Awaited<ReturnType<typeof machinesFixture>>;
    const password = "correct-horse";
    beforeAll(async () => {
      redis = await startRedis();
      fixture = await machinesFixture(30);
      const { code, stderr } = await clpdd([...fixture.args, "--out", fixture.at("alone")]);
      expect(code, stderr).toBe(0);
    }, 600_000);
    afterAll(async () => {
      await fixture?.end();
      await redis?.end();
    });

    it("gives the bits of the run alone, also where a worker is killed and another one joins late", async () => {
      const variables = { CLP_DD_REDIS_USERNAME: "default", CLP_DD_REDIS_PASSWORD: password };
      redis.cli("CONFIG", "SET", "requirepass", password);
      const cli = (...args: string[]) => redis.cli("--pass", password, "--no-auth-warning", ...args);
      const first = fixture.worker(redis.port, "a", { env: variables });
      await until("the first steps", () => stepOf(cli, "a") >= 3);
      const url = `redis://default:${password}@127.0.0.1:${redis.port}/a`;
      const late = fixture.worker(redis.port, "a", { more: ["--join", url] });
      await until(
        "a second worker with shards",
        () => /[1-9]\d* of 6 shards here/.test(late.printed()) || stepOf(cli, "a") >= 20,
      );
      expect(shownOf(late.child.pid!)).not.toContain(password);
      first.signal("SIGKILL");
      expect((await first.ended).code).toBe(null);
      const { code, stdout, stderr } = await late.ended;
      expect(code, stderr).toBe(0);
      expect(await fixture.exact("a")).toEqual(await fixture.exact("alone"));
      expect(existsSync(fixture.at("a.checkpoint"))).toBe(false);
      const manifest = readFileSync(`${fixture.at("a")}/manifest.json`, "utf8");
      for (const text of [manifest, stdout, stderr]) expect(text).not.toContain(password);
      redis.cli("-a", password, "CONFIG", "SET", "requirepass", "");
    });

    it("refuses a worker with other settings, naming them, and reports the run", async () => {
      const one = fixture.worker(redis.port, "b", { lease: 300, patience: 600 });
      await until("the first steps", () => stepOf(redis.cli, "b") >= 1);
      // The run is to be under way however long the other one takes to begin.
      one.signal("SIGSTOP");
      const other = fixture.worker(redis.port, "b", { more: ["--seed", "5"] });
      const { code, stderr } = await other.ended;
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(/What differs: seed \(0 then, 5 now\)/);
      const report = await fixture.report(redis.port, "b");
      expect(report).toMatchObject({ name: "b", steps: 30, images: 12, shards: 6 });
      one.signal("SIGCONT");
      one.child.kill("SIGTERM");
      const stopped = await one.ended;
      expect(stopped.code, stopped.stderr).toBe(130);
      expect(stopped.stderr).toMatch(/Stopped after step \d+ of 30\. What this worker has is saved/);
      const again = fixture.worker(redis.port, "b");
      expect((await again.ended).code).toBe(0);
      expect(await fixture.exact("b")).toEqual(await fixture.exact("alone"));
    });
  },
);
