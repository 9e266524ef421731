import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchModel } from "../../src/encoder/hub-node.ts";
import { hubAccess } from "../../src/encoder/hub-settings-node.ts";
import { ClpError } from "../../src/errors.ts";
import { disk } from "../support/failing-disk.ts";
import { type HubServer, startHub } from "../support/hub-server.ts";

vi.mock("node:fs/promises", async (original) =>
  (await import("../support/failing-disk.ts")).failing(await original<typeof import("node:fs/promises")>()),
);

const id = "someone/vit";
const weights = randomBytes(5000);
const files = { "config.json": JSON.stringify({ model_type: "vit" }), "model.safetensors": weights };
let hub: HubServer;
let folder: string;
beforeEach(async () => {
  disk.reset();
  hub = await startHub({ [id]: { commit: "a".repeat(40), files } });
  folder = await mkdtemp(join(tmpdir(), "clp-dd-hub-disk-"));
});
afterEach(async () => {
  disk.reset();
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});
const fetch = () => fetchModel({ id }, hubAccess({ HF_ENDPOINT: hub.url, HF_HOME: folder }, "/nobody"));
const emptied = async () => {
  disk.reset();
  await rm(folder, { recursive: true, force: true });
};

test("a cache that cannot be written from some operation on is named, and not the hub", async () => {
  await fetch();
  const { operations } = disk;
  expect(operations).toBeGreaterThan(10);
  for (let k = 1; k <= operations; k++) {
    await emptied();
    disk.reset(k, { code: "EROFS" });
    const error: Error = await fetch().then(
      () => new Error(`operation ${k} did not fail`),
      (thrown: Error) => thrown,
    );
    expect(error).toBeInstanceOf(ClpError);
    expect(error.message).toContain("models--someone--vit");
    expect(error.message).toContain("EROFS");
    expect(error.message).not.toContain("HF_ENDPOINT");
  }
});
