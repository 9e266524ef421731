import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
let photos: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-features-"));
  photos = await makePhotos(join(home, "photos"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const features = (cache: string, ...more: string[]) =>
  clpdd(["features", photos, "--size", "32", "--cache-dir", join(home, cache), ...more]);
const caches = async (cache: string) =>
  (await readdir(join(home, cache))).filter((name) => !name.includes(".part") && !name.startsWith("kept-"));

describe("clp-dd features", () => {
  it("shares the work between processes that know their place from the scheduler, and merges at the last", async () => {
    const first = await features("shared", "--shard", "0/2", "--storage", "float16");
    expect(first.code).toBe(0);
    expect(first.stderr).toMatch(/Not merged yet: Of the 2 parts .* 1 is missing/);
    expect(await caches("shared")).toEqual([]);
    // What is missing is named, by the merge alone too.
    const early = await features("shared", "--merge", "2", "--storage", "float16");
    expect(early.code).toBe(1);
    expect(early.stderr).toMatch(/1 is missing or unfinished: part 1 \(0 of \d+ images\)/);

    process.env.JOB_COMPLETION_INDEX = "1";
    const second = await features("shared", "--shard", "2", "--storage", "float16").finally(() => {
      delete process.env.JOB_COMPLETION_INDEX;
    });
    expect(second.stderr).toMatch(/All 2 parts of train are there: merged into/);
    expect(await caches("shared")).toHaveLength(2);
    const again = await features("shared", "--shard", "0/2", "--storage", "float16");
    expect(again.stderr).toMatch(/The features of train are complete already/);

    // The parts together are what one process makes.
    const whole = await features("whole", "--storage", "float16", "--json", "--quiet");
    const merged = await features("shared", "--merge", "2", "--storage", "float16", "--json", "--quiet");
    const counts = ({ stdout }: { stdout: string }) =>
      JSON.parse(stdout.trim().split("\n").at(-1)!).map(({ count }: { count: number }) => count);
    expect(counts(merged)).toEqual(counts(whole));
  }, 180_000);

  it("leaves half-precision features that a distillation takes as they are", async () => {
    await features("half", "--storage", "float16", "--quiet");
    const before = await caches("half");
    const made = await clpdd([
      ...["distill", photos, "--out", join(home, "out"), "--size", "32", "--cache-dir", join(home, "half")],
      ...["--steps", "2", "--quiet", "--no-baselines"],
    ]);
    expect(made.stderr).toBe("");
    expect(made.code).toBe(0);
    expect(await caches("half")).toEqual(before);
  }, 180_000);

  it("says what a part is when it is given none", async () => {
    const { code, stderr } = await features("none", "--shard", "4");
    expect(code).toBe(2);
    expect(stderr).toMatch(/neither is set/);
  });
});
