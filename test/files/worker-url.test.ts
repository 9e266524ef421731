import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { workerUrl } from "../../src/files/worker-url.ts";

let root: string;
const url = (path: string) => pathToFileURL(join(root, path)).href;
beforeAll(async () => {
  // A checkout under a folder that is itself called src.
  root = join(await mkdtemp(join(tmpdir(), "clp-worker-")), "src", "app");
  await mkdir(join(root, "dist", "data"), { recursive: true });
  await writeFile(join(root, "dist", "data", "worker.js"), "");
});
afterAll(() => rm(join(root, "..", ".."), { recursive: true }));

describe("a worker's file", () => {
  it("is the compiled neighbor of compiled code", () => {
    expect(workerUrl(url("dist/data/pool.js"), "./worker.ts").href).toBe(url("dist/data/worker.js"));
    expect(workerUrl(url("dist/engine/x.js"), "../data/worker.ts").href).toBe(url("dist/data/worker.js"));
  });

  it("is what the source compiles to, from the sources", () => {
    expect(workerUrl(url("src/data/pool.ts"), "./worker.ts").href).toBe(url("dist/data/worker.js"));
  });

  it("must have been built", () => {
    expect(() => workerUrl(url("src/data/pool.ts"), "./other.ts")).toThrow(
      /other\.js is not there.*npm run build/,
    );
  });
});
