import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "clp-dd-prepared-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("what was made ready while the features were read is gone when they cannot be", {
  timeout: 60_000,
}, async () => {
  const temporary = join(folder, "temporary");
  await mkdir(temporary);
  for (const name of ["cats", "dogs"]) {
    await mkdir(join(folder, "photos", name), { recursive: true });
    for (const i of [0, 1]) await writeFile(join(folder, "photos", name, `${i}.png`), "no picture");
  }
  const places = ["--out", join(folder, "out"), "--cache-dir", join(folder, "cache")];
  const { code, stderr } = await clpdd(
    ["distill", join(folder, "photos"), ...places, "--threads", "2", "--max-bad", "10"],
    { env: { TMPDIR: temporary } },
  );
  expect(code, stderr).toBe(1);
  expect(stderr).toContain("could be read");
  expect(await readdir(temporary)).toEqual([]);
});
