import { describe, expect, it } from "vitest";
import { meanStd } from "../../src/evaluate/metrics.ts";
import type { ProbeResult } from "../../src/evaluate/protocol.ts";
import type { Evaluation } from "../../src/evaluate/run-node.ts";
import { evaluationTables, labeller } from "../../src/evaluate/tables.ts";
import { evaluationHtml } from "../../src/report/evaluation.ts";

const probe = (name: ProbeResult["probe"], top1: readonly number[], augmented = false): ProbeResult => ({
  ...{ probe: name, augmented, seeds: top1.map((_, i) => i), top1: { ...meanStd(top1), values: top1 } },
  ...{ perClass: [0.5, 0.5], confusion: [] },
});
const evaluation = (changes: Partial<Evaluation> = {}): Evaluation => ({
  ...{ artifact: "/home/someone/d1", kind: "distilled", method: "clp", data: "pets", encoder: "e@32" },
  ...{ distilledWith: "e@32", images: 2, ipc: 1, seconds: 2, peakMemoryBytes: 2 ** 30, count: 10 },
  ...{ probes: [probe("closed-form", [0.5]), probe("head", [0.5, 0.6])], full: [], random: [] },
  ...{ draws: 3, epochs: 7 },
  ...changes,
});

describe("labels of artefacts", () => {
  const labels = (...paths: string[]) => {
    const all = paths.map((artifact) => ({ artifact }));
    return all.map(labeller(all));
  };

  it("are the folders' names, with what is before them only where these are shared", () => {
    expect(labels("/a/d1", "/a/d2/")).toEqual(["d1", "d2"]);
    expect(labels("/a/d1", "/a/sub/d1", "/a/d2")).toEqual(["a/d1", "sub/d1", "d2"]);
    expect(labels("/x/s/d1", "/y/s/d1", "C:\\y\\t\\d1")).toEqual(["x/s/d1", "y/s/d1", "t/d1"]);
    expect(labels("/d1", "/d1")).toEqual(["d1", "d1"]);
  });

  it("tell sets apart in tables, and give no more of the path away in a page", () => {
    const results = [evaluation(), evaluation({ artifact: "/home/someone/sub/d1" })];
    const tables = evaluationTables(results);
    expect(tables[0]!.rows.map(([label]) => label)).toEqual([
      ...["someone/d1", "someone/d1", "sub/d1", "sub/d1"],
    ]);
    const page = evaluationHtml(tables, results, ["cat", "dog"]);
    expect(page).toContain("<summary>sub/d1 on e@32");
    expect(page).not.toContain("/home");
  });
});
