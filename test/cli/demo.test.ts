import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";

let home: string;
/** What a distillation leaves, as far as it is looked at before a run. */
const makeSet = async (name: string) => {
  await mkdir(join(home, name));
  for (const file of ["manifest.json", "distilled.safetensors"]) await writeFile(join(home, name, file), "");
};
/** Without its encoder the demo ends as soon as it has looked at --out. */
const demo = (...options: string[]) => clpdd(["demo", "--encoder", "nowhere", ...options], { cwd: home });

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-demo-"));
  for (const name of ["out-demo", "precious"]) await makeSet(name);
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("clp-dd demo", { timeout: 60_000 }, () => {
  it("replaces its own set, and another only where that is asked for", async () => {
    expect((await demo("--out", "precious")).stderr).toMatch(/already holds a distilled set.*--overwrite/);
    for (const options of [[], ["--out", "precious", "--overwrite"]]) {
      expect((await demo(...options)).stderr).toContain('no encoder "nowhere"');
    }
  });
});
