import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";
import { descendants, untilEnded } from "../support/processes.ts";

let home: string;
let args: string[];
const at = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-processes-"));
  const photos = await makePhotos(at("photos"));
  args = ["distill", photos, "--size", "32", "--cache-dir", at("cache"), "--no-baselines"];
  // More steps than anyone waits for.
  args.push("--steps", "100000", "--threads", "2");
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Runs a distillation, and does `act` to it and the processes below it a moment after its first step. */
async function disturbed(out: string, act: (child: ChildProcess, below: readonly number[]) => void) {
  let below: number[] = [];
  const outcome = await clpdd([...args, "--out", at(out)], {
    started: (child) => {
      child.stderr!.on("data", (data) => {
        if (below.length > 0 || !String(data).includes("synthetic images")) return;
        below = descendants(child.pid!);
        act(child, below);
      });
    },
  });
  return { outcome, below };
}

describe.skipIf(!existsSync("/proc/self/stat"))("the processes of a command", { timeout: 120_000 }, () => {
  it("all end at once at the second interrupt", async () => {
    const { outcome, below } = await disturbed("twice", (child) => {
      child.kill("SIGINT");
      setTimeout(() => child.kill("SIGINT"), 50);
    });
    expect(outcome.code).toBe(130);
    expect(below.length).toBeGreaterThan(1);
    await untilEnded(below, 1);
  });

  it("do not outlive the command where that is killed", async () => {
    const { outcome, below } = await disturbed("killed", (child) => child.kill("SIGKILL"));
    expect(outcome.code).toBe(null);
    await untilEnded(below, 5);
  });

  it("end with an error that says what happened where the one that runs models is killed", async () => {
    const { outcome, below } = await disturbed("engine", (child) => {
      process.kill(descendants(child.pid!)[0], "SIGKILL");
    });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/ended by SIGKILL.*--memory/);
    await untilEnded(below, 5);
  });
});
