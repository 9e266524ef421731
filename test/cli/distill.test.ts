import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { clpdd, type Outcome } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
let photos: string;
let common: string[];
const at = (name: string) => join(home, name);
const lastJson = ({ stdout }: Outcome) => JSON.parse(stdout.trim().split("\n").at(-1)!);
const distill = (out: string, ...more: string[]) =>
  clpdd(["distill", photos, "--out", at(out), ...common, "--steps", "6", "--level-every", "2", ...more]);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-cli-"));
  photos = await makePhotos(at("photos"));
  common = ["--size", "32", "--cache-dir", at("cache"), "--quiet"];
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("clp-dd distill", () => {
  it("turns a folder into an artefact that evaluates to the same accuracy", async () => {
    const made = await distill("first", "--json");
    expect(made.stderr).toBe("");
    expect(made.code).toBe(0);
    const result = lastJson(made);
    expect(result).toMatchObject({ out: at("first"), fullData: { top1: expect.any(Number) } });
    expect(result.closedForm.top1).toBeGreaterThanOrEqual(0);
    for (const file of ["manifest.json", "report.html", "README.md", "metrics.jsonl", "probe.safetensors"]) {
      expect(existsSync(join(at("first"), file)), file).toBe(true);
    }
    const evaluated = await clpdd([
      "evaluate",
      at("first"),
      "--data",
      photos,
      "--json",
      "--no-references",
      "--probes",
      "closed-form",
      "--cache-dir",
      at("cache"),
    ]);
    expect(evaluated.code).toBe(0);
    expect(lastJson(evaluated)[0].top1).toBe(result.closedForm.top1);
    const set = await readArtifact(at("first"));
    expect(await set.images()).toHaveLength(3 * 3 * 32 * 32);
  });

  it("gives the same bytes for the same seed, and others for another", async () => {
    await distill("again");
    await distill("other", "--seed", "1");
    const bytes = (name: string) => readFile(join(at(name), "distilled.safetensors"));
    expect((await bytes("again")).equals(await bytes("first"))).toBe(true);
    expect((await bytes("other")).equals(await bytes("first"))).toBe(false);
  });

  it("stops at an interrupt with a checkpoint and resumes bit for bit", async () => {
    const args = ["distill", photos, ...common, "--steps", "60", "--level-every", "9"].filter(
      (a) => a !== "--quiet",
    );
    const whole = await clpdd([...args, "--out", at("whole")]);
    expect(whole.code).toBe(0);
    const stopped = await clpdd([...args, "--out", at("stopped")], {
      started: (child) => {
        // The session that compiles the pullback comes last before the steps: wait for its note.
        child.stderr!.on("data", (data) => {
          if (String(data).includes("synthetic images")) setTimeout(() => child.kill("SIGINT"), 700);
        });
      },
    });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/Stopped after step \d+ of 60\. .*--resume/);
    expect(existsSync(at("stopped"))).toBe(false);
    for (const [option, value, named] of [
      ["--lr", "0.5", "learningRate"],
      ["--resize", "64", "resize (37 then, 64 now)"],
      ["--size", "40", "crop ([32,32] then, [40,40] now)"],
    ] as const) {
      const other = await clpdd([...args, "--out", at("stopped"), "--resume", option, value]);
      expect(other.stderr.replace(/\s+/g, " ")).toContain(named);
      expect(other.code).toBe(2);
    }
    const resumed = await clpdd([...args, "--out", at("stopped"), "--resume"]);
    expect(resumed.code).toBe(0);
    const [a, b] = await Promise.all(
      ["whole", "stopped"].map((n) => readFile(join(at(n), "distilled.safetensors"))),
    );
    expect(a!.equals(b!)).toBe(true);
    expect(existsSync(at("stopped.checkpoint"))).toBe(false);
  }, 180_000);

  it("keeps another run off its --out, and a forgotten --resume off its checkpoint", async () => {
    const args = ["distill", photos, "--out", at("shared"), ...common.filter((a) => a !== "--quiet")];
    const long = [...args, "--steps", "5000", "--level-every", "9"];
    let second: Promise<Outcome> | undefined;
    const first = await clpdd(long, {
      started: (child) => {
        child.stderr!.on("data", (data) => {
          if (second !== undefined || !String(data).includes("synthetic images")) return;
          second = clpdd(args);
          second.finally(() => child.kill("SIGINT"));
        });
      },
    });
    const refused = await second!;
    expect(refused.stderr).toMatch(/shared\.checkpoint is being written by process \d+/);
    expect(refused.code).toBe(1);
    expect(first.stderr).toMatch(/Stopped after step \d+ of 5000\. .*--resume/);
    expect(first.code).toBe(130);

    const forgotten = await clpdd(long);
    expect(forgotten.stderr).toMatch(/shared\.checkpoint\. .*--resume, or .*--overwrite/);
    expect(forgotten.code).toBe(2);
    expect(existsSync(join(at("shared.checkpoint"), "checkpoint.safetensors"))).toBe(true);
    expect((await clpdd([...args, "--steps", "6", "--overwrite"])).code).toBe(0);
    expect(existsSync(at("shared.checkpoint"))).toBe(false);
  }, 180_000);

  it.each([
    [["--loss", "mse"]],
    [["--method", "lgm"]],
    [["--method", "sfm"]],
    [["--anchors", "cosine", "--normalize", "l2,standardize-l2"]],
    [["--parametrization", "pixels", "--init", "real"]],
    [["--init", "real", "--ipc", "2"]],
    [["--augment", "2"]],
    [["--learn-labels", "--learn-temperature"]],
  ])("runs with %s", async (options) => {
    const outcome = await distill("method", "--overwrite", "--no-baselines", ...options);
    expect(outcome.stderr).toBe("");
    expect(outcome.code).toBe(0);
  });

  it("recomputes intermediates within little memory, to the same curve", async () => {
    const outcome = await distill("small", "--memory", "100K");
    expect(outcome.code).toBe(0);
    const curve = async (name: string) =>
      (await readFile(join(at(name), "metrics.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((l) => JSON.parse(l).loss as number);
    const [small, first] = [await curve("small"), await curve("first")];
    expect(small).toHaveLength(6);
    for (const [i, loss] of small.entries()) expect(Math.abs(loss - first[i])).toBeLessThan(1e-3 * first[i]);
  });
});

describe("bad input is answered with what to do, and no stack trace", () => {
  const refused: [string, () => Promise<Outcome>, number, RegExp][] = [
    ["a folder that is not there", () => clpdd(["distill", at("nowhere"), "--out", at("x")]), 1, /nowhere/],
    ["an unknown option", () => clpdd(["distill", photos, "--out", at("x"), "--stpes", "3"]), 2, /--steps/],
    ["no --out", () => clpdd(["distill", photos]), 2, /--out/],
    ["a lambda of zero", () => distill("x", "--lambda", "0"), 2, /above 0/],
    ["a negative tau", () => distill("x", "--tau", "-1"), 2, /above 0/],
    ["an unknown feature map", () => distill("x", "--normalize", "whiten"), 2, /normalize/],
    ["an --out that holds a result", () => distill("first"), 1, /--overwrite/],
    [
      "an --out inside of the data",
      () => clpdd(["distill", photos, "--out", join(photos, "red", "o"), ...common]),
      2,
      /inside/,
    ],
    ["more images per class than there are", () => distill("x", "--ipc", "50"), 1, /--ipc/],
    ["a feature that is not there", () => distill("x", "--feature", "nope"), 1, /nope.*Candidates: /s],
    ["an unknown encoder", () => distill("x", "--encoder", "resnet-9000"), 1, /efficientnet-lite0/],
    ["--resume without a checkpoint", () => distill("x", "--resume"), 1, /no checkpoint/],
    [
      "an evaluation of no artefact",
      () => clpdd(["evaluate", photos, "--data", photos, ...common]),
      1,
      /manifest\.json/,
    ],
  ];
  it.each(refused)("%s", async (_, run, code, message) => {
    const outcome = await run();
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
    expect(outcome.code).toBe(code);
  });

  it("a folder of no images, of one class, of a file that is no model", async () => {
    const { mkdir } = await import("node:fs/promises");
    await mkdir(at("empty/a"), { recursive: true });
    await mkdir(at("empty/b"), { recursive: true });
    expect(await clpdd(["distill", at("empty"), "--out", at("x"), ...common])).toMatchObject({ code: 1 });
    await makePhotos(at("one"), 2);
    await rm(at("one/red"), { recursive: true });
    await rm(at("one/blue"), { recursive: true });
    const one = await clpdd(["distill", at("one"), "--out", at("x"), ...common]);
    expect(one.code).toBe(1);
    expect(one.stderr).toContain("class");
    await writeFile(at("text.onnx"), "this is no model");
    const text = await distill("x", "--encoder", at("text.onnx"));
    expect(text.code).toBe(1);
    expect(text.stderr).toContain("ONNX");
  });

  it("an unreadable image is skipped and named, up to --max-bad", async () => {
    await makePhotos(at("spoilt"), 6);
    await writeFile(at("spoilt/red/broken.jpg"), "no picture at all");
    const args = ["distill", at("spoilt"), "--size", "32", "--steps", "3", "--cache-dir", at("cache2")];
    const strict = await clpdd([...args, "--out", at("strict"), "--max-bad", "0"]);
    expect(strict.code).toBe(1);
    expect(strict.stderr).toContain("broken.jpg");
    const lenient = await clpdd([...args, "--out", at("lenient")]);
    expect(lenient.code).toBe(0);
    expect(lenient.stderr.replace(/\s+/g, " ")).toContain("Skipped 1 unreadable image");
  });

  it("a changed artefact", async () => {
    await writeFile(join(at("again"), "images", "red", "0.png"), "changed");
    const outcome = await clpdd(["evaluate", at("again"), "--data", photos, ...common]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("0.png");
  });
});

describe("help and inspection", () => {
  it("fits in 80 columns and gives examples", async () => {
    const { stdout, code } = await clpdd(["distill", "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Examples:");
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  it("inspects the embedded encoder", async () => {
    const { stdout, code } = await clpdd(["inspect", "efficientnet-lite0", "--quiet"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\* +features +\[1, 1280\] +yes/);
    expect(stdout).toMatch(/Conv +49 +yes/);
  });
});
