import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../src/files/temporary.ts";

it("a temporary folder is there until it is removed, and goes with the next one where its process was killed", async () => {
  const ended = spawnSync(process.execPath, ["-e", ""]).pid;
  const left = await mkdtemp(join(tmpdir(), `clp-dd-test-${ended}-`));
  const other = await mkdtemp(join(tmpdir(), `clp-dd-other-${ended}-`));
  const first = await temporaryFolder("test");
  const second = await temporaryFolder("test");
  expect(existsSync(left)).toBe(false);
  expect([other, first.path, second.path].every((path) => existsSync(path))).toBe(true);
  for (const { path, remove } of [first, second]) {
    await remove();
    expect(existsSync(path)).toBe(false);
  }
  await rm(other, { recursive: true });
});
