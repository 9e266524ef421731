import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseRunAddress } from "../../src/machines/address.ts";
import { FeatureLog } from "../../src/machines/feature-log.ts";
import type { RunTerms, WorkerStatus } from "../../src/machines/run-record.ts";
import { LeaseLost, openRun, RunServer, readRun } from "../../src/machines/run-server.ts";
import { Connection } from "../../src/machines/server.ts";
import { DistillConfig } from "../../src/recipe/config.ts";
import { until } from "../support/machines.ts";
import { noServer, type RedisServer, startRedis } from "../support/redis.ts";

const terms: RunTerms = {
  version: "0",
  protocol: "1",
  identity: {
    config: DistillConfig.parse({}),
    encoder: "e",
    feature: "f",
    preprocessing: {
      ...{ resize: 8, crop: [8, 8], interpolation: "bicubic", cropOffset: "round" },
      ...{ mean: [0, 0, 0], std: [1, 1, 1] },
    },
    data: "d",
  },
  cut: { batch: 2, activations: "recompute" },
  count: 6,
  shards: 3,
  steps: 10,
  base: null,
  out: "/shared/out",
  began: "2026-01-01T00:00:00Z",
};
const status: WorkerStatus = {
  ...{ host: "node1", pid: 7, cpu: "c", step: 0, loss: null, shards: 0, imagesPerSecond: null },
  ...{ stepSeconds: null, waitSeconds: null, progress: 0, doing: "distilling" },
};

describe.skipIf(noServer !== undefined)(`the server of a run${noServer ? ` (${noServer})` : ""}`, () => {
  let redis: RedisServer;
  let connection: Connection;
  let runs = 0;
  beforeAll(async () => {
    redis = await startRedis();
    connection = new Connection(addressOf("x"), { purpose: "testing", patience: 5 });
  });
  afterAll(async () => {
    connection?.end();
    await redis?.end();
  });
  const addressOf = (run: string) => parseRunAddress(`redis://127.0.0.1:${redis.port}/${run}`, {});

  /** Two workers of a new run. */
  async function twoWorkers(leaseMilliseconds: number) {
    const name = `run${runs++}`;
    const { record } = await openRun(connection, name, terms, 0);
    const worker = async () => {
      const own = new RunServer(connection, addressOf(name), name, record.id, leaseMilliseconds);
      await own.begin(status);
      return own;
    };
    return { name, record, one: await worker(), other: await worker() };
  }
  const entry = (shard: number, values: readonly number[], digest?: string) => ({
    ...{ step: 1, levels: 1, due: false, digest, shards: [shard] },
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  });

  it("begins a run once, and gives its terms to whoever comes later", async () => {
    const first = await openRun(connection, "once", terms, 0);
    const second = await openRun(connection, "once", { ...terms, shards: 9 }, 0);
    expect([first.began, second.began]).toEqual([true, false]);
    expect(second.record).toEqual(first.record);
  });

  it("gives each shard to one worker at a time", async () => {
    const { one, other, name } = await twoWorkers(60_000);
    expect(await one.claim(2, [0, 1, 2])).toEqual([0, 1]);
    expect(await other.claim(3, [0, 1, 2])).toEqual([2]);
    await one.release([0]);
    expect(await other.claim(3, [0, 1])).toEqual([0]);
    const state = await readRun(connection, name);
    expect(state?.workers.map(({ owned }) => owned).sort()).toEqual([1, 2]);
    expect(state?.unowned).toBe(0);
  });

  it("lets a worker whose lease has ended neither publish nor keep its shards", async () => {
    const { one, other } = await twoWorkers(200);
    expect(await one.claim(3, [0, 1, 2])).toEqual([0, 1, 2]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await other.begin(status);
    expect(await other.claim(1, [0])).toEqual([0]);
    await expect(one.publish(entry(0, [1]))).rejects.toThrow(LeaseLost);
    expect(await one.owns([1])).toBe(false);
    await one.begin(status);
    await expect(one.publish(entry(0, [1]))).rejects.toThrow(LeaseLost);
  });

  it("refuses a worker that came to other bits, naming who came to them first", async () => {
    const { one, other } = await twoWorkers(60_000);
    await one.claim(1, [0]);
    await other.claim(1, [1]);
    await one.publish(entry(0, [1, 2], "aaaa"));
    await expect(other.publish(entry(1, [3, 4], "bbbb"))).rejects.toThrow(/other bits than node1:7/);
    await other.publish(entry(1, [3, 4], "aaaa"));
  });

  it("keeps a log from which any worker reads the features of all shards, the first of each", async () => {
    const { one, other, name } = await twoWorkers(60_000);
    await one.claim(2, [0, 1]);
    await other.claim(1, [2]);
    await one.publish(entry(0, [1, 2]));
    await other.publish(entry(2, [5, 6, 7]));
    await one.publish(entry(0, [9, 9]));
    const log = new FeatureLog(addressOf(name), name, [2, 2, 3], { purpose: "testing", patience: 5 });
    await log.upToDate();
    expect(log.complete(1, 1)).toBeUndefined();
    await one.publish(entry(1, [3, 4]));
    await until("the last entry", async () => {
      await log.changed(100);
      return log.complete(1, 1) !== undefined;
    });
    const { features } = log.complete(1, 1)!;
    expect([0, 1, 2].map((shard) => [...features.get(shard)!])).toEqual([
      [1, 2],
      [3, 4],
      [5, 6, 7],
    ]);
    log.end();
  });

  it("says so when it does not answer, naming the deadline and not the password", async () => {
    const nobody = parseRunAddress("redis://u:secret@127.0.0.1:1/x", {});
    const silent = new Connection(nobody, { purpose: "distilling", patience: 1 });
    const failed = silent.command(["PING"]);
    await expect(failed).rejects.toThrow(/redis:\/\/127\.0\.0\.1:1\/x did not answer for 1 s \(distilling\)/);
    await expect(failed).rejects.not.toThrow(/secret/);
  });

  it("is refused where it drops data when its memory is full", async () => {
    redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
    const careless = new Connection(addressOf("x"), { purpose: "testing", patience: 5 });
    await expect(careless.command(["PING"])).rejects.toThrow(/maxmemory-policy allkeys-lru.*noeviction/);
    redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
    careless.end();
  });
});
