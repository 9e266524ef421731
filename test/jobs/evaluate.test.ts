import { cpSync, existsSync, readdirSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runBaseline } from "../../src/jobs/baseline.ts";
import { runComparison } from "../../src/jobs/compare.ts";
import { runEvaluation } from "../../src/jobs/evaluate.ts";
import type { BaselineParams, EvaluateParams } from "../../src/jobs/params.ts";
import { makePhotos } from "../support/photos.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/encoders/${name}`, import.meta.url));

let home: string;
let photos: string;
const at = (...parts: string[]) => join(home, ...parts);
const notes: string[] = [];
const context = {
  signal: new AbortController().signal,
  progress() {},
  note: (text: string) => void notes.push(text),
};
const machine = () => ({ data: photos, cacheFolder: at("cache"), maxBad: 0, threads: 1 });

const baseline = (out: string, encoder: string, more: Partial<BaselineParams> = {}) =>
  runBaseline(
    { ...machine(), kind: "centroid", encoder, out: at(out), config: {}, baselines: false, ...more },
    context,
  );
const evaluate = (artifacts: readonly string[], more: Partial<EvaluateParams> = {}) =>
  runEvaluation(
    {
      ...machine(),
      artifacts: artifacts.map((name) => at(name)),
      probes: ["closed-form"],
      augmentation: "off",
      references: false,
      ...more,
    },
    context,
  );
const compare = (out: string, change: Record<string, unknown>) =>
  runComparison(
    {
      ...machine(),
      out: at(out),
      config: {
        data: [photos],
        encoders: [at("a/vit@32")],
        methods: ["centroid"],
        resize: 32,
        ...{ evaluate: { probes: ["closed-form"], augmentation: "off" }, ...change },
      },
    },
    context,
  );
const cellsOf = (out: string) =>
  readdirSync(at(out, "cells")).map((cell) => readdirSync(at(out, "cells", cell)).sort());

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-run-evaluation-"));
  photos = await makePhotos(at("photos"), 8, 40);
  cpSync(fixture("timm-vit"), at("a/vit"), { recursive: true });
  cpSync(fixture("timm-mae"), at("b/vit"), { recursive: true });
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe("an evaluation", { timeout: 60_000 }, () => {
  it("pools as the set was made with, and with what is asked for instead", async () => {
    const { manifest } = await baseline("pooled", at("a/vit"), { pool: "mean" });
    expect(manifest.encoder).toMatchObject({ pool: "mean of the patches", askedPool: "mean" });
    const encoders = [at("a/vit")];
    notes.length = 0;
    const [own] = await evaluate(["pooled"], { encoders });
    expect(notes.join()).toContain("pooling: mean of the patches");
    expect(own!.probes[0].top1.mean).toBe(manifest.metrics.closedForm!.top1);
    notes.length = 0;
    await evaluate(["pooled"], { encoders, pool: "cls" });
    expect(notes.join()).toContain("pooling: class token");
  });

  it("gives the same figures for any number of threads", async () => {
    await baseline("threads", at("a/vit"));
    const whole = (threads: number) =>
      evaluate(["threads"], {
        ...{
          encoders: [at("a/vit"), at("b/vit")],
          probes: undefined,
          augmentation: "both",
          references: true,
        },
        ...{ seeds: [0, 1], epochs: 5, draws: 2, edits: true, threads },
      });
    expect(await whole(2)).toEqual(await whole(1));
  });

  it("opens no encoder that a set names by a path, unless it is asked for", async () => {
    await baseline("by-path", at("a/vit"));
    await expect(evaluate(["by-path"])).rejects.toThrow(/`encoders: '.*a\/vit'` if you trust it/);
  });

  it("looks at the classes before any feature is computed", async () => {
    await baseline("classes", at("a/vit"));
    const others = await makePhotos(at("others"), 2, 40);
    await rename(join(others, "red"), join(others, "crimson"));
    await expect(evaluate(["classes"], { data: others, cacheFolder: at("unused") })).rejects.toThrow(
      /classes .*same ones in the same order/s,
    );
    expect(existsSync(at("unused"))).toBe(false);
  });

  it("tells encoders of one name apart", async () => {
    await baseline("named", at("a/vit"));
    const results = await evaluate(["named"], { encoders: [at("a/vit"), at("b/vit")] });
    expect(results.map(({ encoder }) => encoder)).toEqual(["vit@32", `${at("b/vit")}@32`]);
  });

  it("resizes real images alike in whichever order the sets come", async () => {
    await baseline("first", at("a/vit"), { resize: 32 });
    await baseline("second", at("b/vit"), { resize: 40 });
    const encoders = [at("b/vit@32")];
    await evaluate(["first", "second"], { encoders });
    const before = readdirSync(at("cache"));
    const results = await evaluate(["second", "first"], { encoders });
    // Other pixels would have been cached under another name.
    expect(readdirSync(at("cache"))).toEqual(before);
    expect(results[0].artifact).toBe(at("second"));
  });
});

describe("a grid", { timeout: 60_000 }, () => {
  it("makes a set again once another encoder lies in the folder", async () => {
    await compare("changed", {});
    await compare("changed", {});
    expect(cellsOf("changed")).toHaveLength(1);
    cpSync(fixture("timm-mae"), at("a/vit"), { recursive: true });
    await compare("changed", {});
    expect(cellsOf("changed")).toHaveLength(2);
    cpSync(fixture("timm-vit"), at("a/vit"), { recursive: true });
  });

  it("evaluates again where real images are resized otherwise under another encoder", async () => {
    const evaluateOn = [at("a/vit@32"), at("b/vit@40")];
    await compare("resized", { evaluateOn });
    await compare("resized", { evaluateOn, encoders: [at("a/vit@32"), at("b/vit@40")] });
    const results = (files: string[]) => files.filter((name) => name.endsWith(".json")).length;
    expect(cellsOf("resized").map(results).sort()).toEqual([1, 2]);
  });

  it("takes the neighbors of a set that no seed changes, wherever the folder lies", async () => {
    const methods = ["centroid", { baseline: "neighbors", of: "centroid" }];
    const { failures } = await compare("moved", { methods, seeds: [0, 1] });
    expect(failures).toEqual([]);
    cpSync(at("moved"), at("copy"), { recursive: true });
    await compare("copy", { methods, seeds: [0, 1] });
    expect(readdirSync(at("copy", "cells"))).toEqual(readdirSync(at("moved", "cells")));
  });
});
