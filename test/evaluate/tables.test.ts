import { parseHTML } from "linkedom";
import { describe, expect, it, test } from "vitest";
import type { Evaluation } from "../../src/evaluate/evaluation.ts";
import { evaluationHtml } from "../../src/evaluate/page.ts";
import type { ProbeResult } from "../../src/evaluate/protocol.ts";
import { evaluationTables, labeller } from "../../src/evaluate/tables.ts";
import { meanStd } from "../../src/probe/metrics.ts";

const probe = (name: ProbeResult["probe"], top1: readonly number[], augmented = false): ProbeResult => ({
  ...{ probe: name, augmented, seeds: top1.map((_, i) => i), top1: { ...meanStd(top1), values: top1 } },
  perClass: [0.5, 0.5],
  confusion: [],
});
const evaluation = (changes: Partial<Evaluation> = {}): Evaluation => ({
  artifact: "/home/someone/d1",
  kind: "distilled",
  method: "clp",
  data: "pets",
  encoder: "e@32",
  distilledWith: "e@32",
  images: 2,
  ipc: 1,
  seconds: 2,
  peakMemoryBytes: 2 ** 30,
  count: 10,
  probes: [probe("closed-form", [0.5]), probe("head", [0.5, 0.6])],
  full: [],
  random: [],
  draws: 3,
  epochs: 7,
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
    expect(tables[0].rows.map(([label]) => label)).toEqual([
      ...["someone/d1", "someone/d1", "sub/d1", "sub/d1"],
    ]);
    const page = evaluationHtml(tables, results, ["cat", "dog"]);
    expect(page).toContain("<summary>sub/d1 on e@32");
    expect(page).not.toContain("/home");
  });
});

describe("the table of an encoder", () => {
  const tableOf = (...results: Evaluation[]) => evaluationTables(results)[0];
  const closedForm = (top1: number, augmented = false) => probe("closed-form", [top1], augmented);

  it("says how far the recorded probabilities are from what is right, where a set records some", () => {
    expect(tableOf(evaluation()).notes.join(" ")).not.toContain("calibration");
    expect(tableOf(evaluation({ calibrationError: 0.0312 })).notes.join(" ")).toContain(
      "d1: the recorded probabilities have an expected calibration error of 3.1 %",
    );
  });

  it("has columns and notes of references only where there are some", () => {
    const alone = tableOf(evaluation());
    expect(alone.head).toEqual(["trained on", "probe", "top-1"]);
    expect(alone.notes.join(" ")).not.toMatch(/HLR|IOR|full data/);
    const full = [probe("closed-form", [0.8]), probe("head", [0.5, 0.5])];
    const beside = tableOf(evaluation({ full, random: [probe("closed-form", [0.2, 0.4])] }));
    expect(beside.head.slice(3)).toEqual(["of full", "HLR", "IOR"]);
    expect(beside.rows.map((row) => row.slice(3))).toEqual([
      ["63 %", "30.0", "20.0"],
      ["110 %", "-5.0", "–"],
      ...[1, 2, 3].map(() => ["", "", ""]),
    ]);
    expect(beside.notes.join(" ")).toMatch(/HLR: .*; IOR: /);
  });

  it("tells of heads, seeds and epochs only where there are any", () => {
    const [percent, heads] = tableOf(evaluation()).notes;
    expect(percent).toBe(
      "Percent of 10 real test images; mean ± standard deviation over 2 seeds where there are several.",
    );
    expect(heads).toBe("Heads: 7 epochs on raw features.");
    const quick = tableOf(
      evaluation({ probes: [closedForm(0.5), closedForm(0.4, true)], draws: 1, count: 1 }),
    );
    expect(quick.notes).toEqual([
      "Percent of 1 real test image; one seed.",
      "+aug: flip and random resized crop, 1 draw of each image and seed.",
      expect.stringMatching(/^d1: 2 images, made with e@32 in 2\.00 s/),
    ]);
    // No seed changes what the closed form makes of images as they are.
    expect(tableOf(evaluation({ probes: [closedForm(0.5)] })).notes[0]).toBe(
      "Percent of 10 real test images.",
    );
  });

  it("gives no zero a sign", () => {
    const [row] = tableOf(evaluation({ probes: [closedForm(0.50001)], full: [closedForm(0.5)] })).rows;
    expect(row!.at(-1)).toBe("0.0");
  });

  it("has its figures at the right in a page, and its names at the left", () => {
    const results = [evaluation()];
    const { document } = parseHTML(evaluationHtml(evaluationTables(results), results, ["cat", "dog"]));
    const [head, row] = document.querySelectorAll("table")[0].querySelectorAll("tr");
    for (const { children } of [head!, row!]) {
      expect(Array.from(children, (cell) => cell.className)).toEqual(["", "", "number"]);
    }
  });
});

test("edits have a table of their own, with a column for each set that was edited", () => {
  const edits = (mean: number) => ({
    mean,
    worst: 0.1,
    each: [
      { name: "JPEG 90", top1: 0.4 },
      { name: "mirrored", top1: 0.1 },
    ],
  });
  const results = [
    evaluation({ edits: edits(0.25) }),
    evaluation({ artifact: "/x/d2", edits: { ...edits(0.4), each: [{ name: "JPEG 90", top1: 0.4 }] } }),
    evaluation({ artifact: "/x/full" }),
  ];
  const table = evaluationTables(results).find(({ title }) => title.includes("after edits"))!;
  expect(table.head).toEqual(["edit", "d1", "d2"]);
  expect(table.rows).toEqual([
    ["none", "50.0", "50.0"],
    ["mean over the edits", "25.0", "40.0"],
    ["worst edit", "10.0", "10.0"],
    ["JPEG 90", "40.0", "40.0"],
    ["mirrored", "10.0", "–"],
  ]);
});
