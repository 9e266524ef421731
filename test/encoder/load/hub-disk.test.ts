import { randomBytes } from "node:crypto";
import { lstat, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetchModel } from "../../../src/encoder/load/hub-model.ts";
import { ClpError } from "../../../src/errors.ts";
import { hubAccess } from "../../../src/files/hub/settings.ts";
import { disk } from "../../support/failing-disk.ts";
import { type HubServer, startHub } from "../../support/hub-server.ts";

vi.mock("node:fs/promises", async (original) =>
  (await import("../../support/failing-disk.ts")).failing(
    await original<typeof import("node:fs/promises")>(),
  ),
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

test("a kill at any operation leaves no half model that is taken for a whole one, also without symbolic links", async () => {
  disk.symlinks = false;
  const { folder: whole } = await fetch();
  const { operations } = disk;
  expect(await isLink(join(whole, "model.safetensors"))).toBe(false);
  for (let k = 1; k <= operations; k++) {
    await emptied();
    disk.reset(k);
    disk.symlinks = false;
    await fetch().catch(() => undefined);
    disk.reset();
    // From the cache where it trusts what is there, else from the hub.
    const { folder: at } = await fetch();
    expect(await readFile(join(at, "model.safetensors"))).toEqual(weights);
  }
});

const isLink = async (path: string) => (await lstat(path)).isSymbolicLink();
