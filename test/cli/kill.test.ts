import type { ChildProcess } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { clpdd } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";
import { descendants } from "../support/processes.ts";

let home: string;
let args: string[];
const at = (name: string) => join(home, name);
const exact = (name: string) => readFile(join(at(name), "distilled.safetensors"));

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-kill-"));
  const photos = await makePhotos(at("photos"));
  args = ["distill", photos, "--size", "32", "--cache-dir", at("cache"), "--no-baselines"];
  args.push("--steps", "60", "--level-every", "9");
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Sends a signal, or does something else, a moment after the note that comes before the steps. */
const onceDistilling = (act: NodeJS.Signals | ((child: ChildProcess) => void)) => (child: ChildProcess) => {
  child.stderr!.on("data", (data) => {
    if (!String(data).includes("synthetic images")) return;
    if (typeof act === "string") child.kill(act);
    else act(child);
  });
};

/** The processes of a killed command see that it is gone, and end; until then they go on with what they were at. */
const orphansEnd = () => new Promise((done) => setTimeout(done, 3000));

describe("a distillation that is stopped", () => {
  it("by SIGTERM, by kills in the steps, of its models and of itself, and by one while it writes, ends bit for bit as one that was not", async () => {
    expect((await clpdd([...args, "--out", at("whole")])).code).toBe(0);
    const out = ["--out", at("killed")];

    const terminated = await clpdd([...args, ...out], { started: onceDistilling("SIGTERM") });
    expect(terminated.code).toBe(130);
    expect(terminated.stderr).toMatch(/Stopped after step \d+ of 60\. .*--resume/);

    // The process that runs the model, which the command waits for.
    const models = await clpdd([...args, ...out, "--resume"], {
      started: onceDistilling((child) => process.kill(descendants(child.pid!)[0]!, "SIGKILL")),
    });
    expect(models.code).toBe(1);
    expect(models.stderr).toMatch(/ended by SIGKILL/);
    expect(existsSync(at("killed"))).toBe(false);

    // The command, while it waits.
    const killed = await clpdd([...args, ...out, "--resume"], { started: onceDistilling("SIGKILL") });
    expect(killed.code).toBe(null);
    expect(existsSync(at("killed"))).toBe(false);
    expect(existsSync(at("killed.checkpoint"))).toBe(true);

    // Killed as soon as the folder next to the result appears in which it is written.
    await orphansEnd();
    const before = new Set(["cache", "killed.checkpoint", "photos", "whole"]);
    let seen = "";
    const writing = await clpdd([...args, ...out, "--resume"], {
      started: (child) => {
        const watch = setInterval(() => {
          seen = readdirSync(home).find((name) => !before.has(name)) ?? "";
          if (seen === "") return;
          child.kill("SIGKILL");
          clearInterval(watch);
        }, 1);
        child.on("close", () => clearInterval(watch));
      },
    });
    expect(seen).not.toBe("");
    expect(writing.code).toBe(null);
    await orphansEnd();
    // Nothing or all: never a part.
    if (existsSync(at("killed"))) await readArtifact(at("killed"));
    else {
      expect((await clpdd([...args, ...out, "--resume"])).code).toBe(0);
      expect(readdirSync(home).sort()).toEqual(["cache", "killed", "photos", "whole"]);
    }
    expect((await exact("killed")).equals(await exact("whole"))).toBe(true);
  }, 180_000);

  it.each(["while it reads features", "in the steps"])(
    "by a second interrupt %s ends at once, with 130",
    async (when) => {
      const marker = when === "in the steps" ? "synthetic images" : "features";
      let interrupted = Number.POSITIVE_INFINITY;
      let process: ChildProcess | undefined;
      const run = await clpdd([...args, "--out", at("twice"), "--cache-dir", at(`cache-${marker}`)], {
        started: (child) => {
          process = child;
          let sent = false;
          child.stderr!.on("data", (data) => {
            if (sent || !String(data).includes(marker)) return;
            sent = true;
            child.kill("SIGINT");
            setTimeout(() => {
              interrupted = performance.now();
              child.kill("SIGINT");
            }, 10);
          });
        },
      });
      expect(performance.now() - interrupted).toBeLessThan(4000);
      // A shell reports 130 of a process that the signal ended, too.
      expect(process!.signalCode === "SIGINT" ? 130 : run.code).toBe(130);
      expect(run.stderr).not.toMatch(/terminate called|Napi|core dumped/);
    },
  );
});
