import { describe, expect, it } from "vitest";
import { type Publication, Publisher } from "../../src/machines/publisher.ts";
import { LeaseLost, type RunServer } from "../../src/machines/run-server.ts";

type Entry = Parameters<RunServer["publish"]>[0];

/** A server that keeps each entry until it is let go on. */
function slowServer() {
  const entries: { readonly entry: Entry; done(error?: Error): void }[] = [];
  const publish = (entry: Entry) =>
    new Promise<void>((resolve, reject) => {
      entries.push({ entry, done: (error) => (error ? reject(error) : resolve()) });
    });
  return { entries, publisher: new Publisher({ publish }) };
}

const ofShard = (shard: number, more: Partial<Publication> = {}): Publication => ({
  ...{ step: 3, levels: 2, due: false, digest: "d", shard },
  features: Float32Array.of(shard, shard + 0.5),
  ...more,
});
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("features on their way to the log", () => {
  it("share an entry where they come in one turn, and wait for nothing that is on its way", async () => {
    const { entries, publisher } = slowServer();
    const published = [0, 1, 2].map((shard) => publisher.publish(ofShard(shard, { due: shard === 2 })));
    await settled();
    expect(entries).toHaveLength(1);
    expect(entries[0].entry).toMatchObject({ step: 3, levels: 2, digest: "d", due: true, shards: [0, 1, 2] });
    const bytes = Uint8Array.from(entries[0].entry.bytes);
    expect(Array.from(new Float32Array(bytes.buffer))).toEqual([0, 0.5, 1, 1.5, 2, 2.5]);
    published.push(publisher.publish(ofShard(3)));
    await settled();
    expect(entries[1].entry.shards).toEqual([3]);
    for (const { done } of entries) done();
    await Promise.all(published);
  });

  it("of another step, other levels or another digest go in an entry of their own", async () => {
    const { entries, publisher } = slowServer();
    const all = [{}, {}, { step: 4 }, { levels: 3 }, { levels: 3, digest: undefined }];
    const published = all.map((more, shard) => publisher.publish(ofShard(shard, more)));
    await settled();
    for (const { done } of entries) done();
    await Promise.all(published);
    expect(entries.map(({ entry }) => entry.shards)).toEqual([[0, 1], [2], [3], [4]]);
  });

  it("of many shards are spread over several entries", async () => {
    const { entries, publisher } = slowServer();
    const features = new Float32Array(3 * 2 ** 18);
    const published = [0, 1, 2, 3].map((shard) => publisher.publish(ofShard(shard, { features })));
    await settled();
    for (const { done } of entries) done();
    await Promise.all(published);
    expect(entries.map(({ entry }) => entry.shards)).toEqual([[0], [1], [2], [3]]);
  });

  it("are refused entry by entry, and what comes later is sent all the same", async () => {
    const { entries, publisher } = slowServer();
    const published = [0, 1].map((shard) => publisher.publish(ofShard(shard)));
    const outcomes = Promise.allSettled(published);
    await settled();
    entries[0].done(new LeaseLost("gone"));
    expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    const later = publisher.publish(ofShard(5));
    await settled();
    entries[1].done();
    await later;
  });
});
