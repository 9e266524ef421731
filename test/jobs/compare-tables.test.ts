import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ProbeResult } from "../../src/evaluate/protocol.ts";
import { markdownTable } from "../../src/evaluate/tables.ts";
import type { CellResult } from "../../src/jobs/compare.ts";
import { type Cell, cellsOf, checkedCompareConfig } from "../../src/jobs/compare-config.ts";
import { comparisonRows, comparisonTables, Published } from "../../src/jobs/compare-tables.ts";
import { meanStd } from "../../src/probe/metrics.ts";

const published = Published.parse(
  JSON.parse(readFileSync(new URL("../../docs/published.json", import.meta.url), "utf8")),
);

const grid = checkedCompareConfig(
  {
    data: [{ data: "pictures", published: "ImageNet-1K" }],
    encoders: [{ encoder: "e@32", published: "DINOv2-B" }],
    methods: [{ name: "ours", preset: "clp", published: "LGM + augmentation" }, "random", "centroid", "full"],
    seeds: [0, 1, 2],
  },
  "grid",
);

const probe = (
  top1: readonly number[],
  augmented = false,
  name: ProbeResult["probe"] = "head",
): ProbeResult => ({
  ...{ probe: name, augmented, seeds: top1.map((_, i) => i), top1: { ...meanStd(top1), values: top1 } },
  perClass: [],
  confusion: [],
});

const result = (cell: Cell, probes: readonly ProbeResult[], evaluatedOn = "e@32"): CellResult => ({
  cell,
  on: [evaluatedOn],
  evaluations: [
    {
      artifact: "set",
      kind: cell.baseline ?? "distilled",
      method: cell.method,
      data: "pictures",
      encoder: evaluatedOn,
      distilledWith: "e@32",
      images: 3,
      ipc: cell.ipc,
      seconds: 2,
      count: 10,
      peakMemoryBytes: 2 ** 30,
      probes,
      full: [],
      random: [],
      draws: 4,
      epochs: 5,
    },
  ],
});

const accuracies: Readonly<Record<string, readonly number[]>> = {
  ours: [0.5, 0.6, 0.7],
  random: [0.1, 0.2, 0.3],
};
const cells = cellsOf(grid).flatMap((cell): CellResult[] => {
  if (cell.baseline === "full") return [result(cell, [probe([0.8, 0.8, 0.8])])];
  const own = accuracies[cell.method];
  return own ? [result(cell, [probe([own[cell.seed]]), probe([0.4 * own[cell.seed]], true)])] : [];
});

describe("cellsOf", () => {
  it("runs what no seed changes once, with heads of every seed, and each other set with its own", () => {
    const all = cellsOf(grid);
    const of = (method: string) => all.filter((c) => c.method === method).map((c) => [c.seed, c.headSeeds]);
    expect(of("ours")).toEqual([0, 1, 2].map((seed) => [seed, [seed]]));
    expect(of("centroid")).toEqual([[0, [0, 1, 2]]]);
    expect(of("full")).toEqual([[0, [0, 1, 2]]]);
  });

  it("trains heads of five seeds where the grid has one", () => {
    const one = cellsOf(
      checkedCompareConfig({ ...grid, data: ["a"], encoders: ["e"], methods: ["clp"], seeds: [7] }, "grid"),
    );
    expect(one.map((c) => [c.seed, c.config.seed, c.headSeeds])).toEqual([[7, 7, [0, 1, 2, 3, 4]]]);
  });

  it("leaves a preset's settings where the grid says nothing else", () => {
    const methods = [{ preset: "lgm-paper", config: { steps: 9 } }];
    const [cell] = cellsOf(checkedCompareConfig({ data: ["a"], encoders: ["e"], methods, ipc: [3] }, "grid"));
    expect(cell!.config).toMatchObject({ method: "lgm", learningRate: 0.002, augment: 10, steps: 9, ipc: 3 });
  });
});

describe("neighbors", () => {
  const of = (methods: readonly unknown[]) =>
    cellsOf(checkedCompareConfig({ data: ["a"], encoders: ["e"], seeds: [3, 4], methods }, "grid"))
      .filter((cell) => cell.baseline === "neighbors")
      .map((cell) => cell.of);

  it("are of the set of the same seed, or of the one set that no seed changes", () => {
    expect(of(["clp", { baseline: "neighbors", of: "clp" }]).map((set) => set!.seed)).toEqual([3, 4]);
    expect(of(["centroid", { baseline: "neighbors", of: "centroid" }]).map((set) => set!.seed)).toEqual([
      3, 3,
    ]);
  });

  it.each([
    [[{ baseline: "herding", of: "nothing" }], /only the baseline neighbors/],
    [["full", { baseline: "neighbors", of: "full" }], /with images/],
  ])("of %j are refused", (methods, message) => {
    expect(() => of(methods)).toThrow(message);
  });
});

describe("tables of a comparison", () => {
  const rows = comparisonRows(cells, published);

  it("take mean and deviation over the seeds of a row", () => {
    const [ours, random, full] = rows;
    expect(ours!.outcomes[0].top1.mean).toBeCloseTo(0.6, 12);
    expect(ours!.outcomes[0].top1.std).toBeCloseTo(0.1, 12);
    expect(random!.outcomes[1].top1.values).toEqual([0.1, 0.2, 0.3].map((x) => 0.4 * x));
    expect(full!.outcomes[0].top1.values).toHaveLength(3);
  });

  it("have published figures of the same names in a column that says so", () => {
    const [accuracy] = comparisonTables(rows, published);
    expect(accuracy!.head.at(-1)).toBe("PUBLISHED (LGM, arXiv 2511.16674)");
    // ImageNet-1K, DINOv2-B: LGM with augmentation, random, full data.
    expect(accuracy!.rows.map((row) => row.at(-1))).toEqual(["75.0", "50.3", "83.0"]);
    expect(comparisonTables(comparisonRows(cells), undefined)[0].head.at(-1)).toBe("memory");
  });

  it("give the share of the full data, HLR and IOR of each probe", () => {
    const [accuracy, ranking] = comparisonTables(rows, published);
    expect(accuracy!.rows[0].slice(0, 4)).toEqual(["ours", "1", "60.0 ± 10.0", "24.0 ± 4.0"]);
    // 0.6 of 0.8; 0.8 − 0.6; 0.6 − 0.2. With augmentation 0.24 of the same 0.8; 0.24 − 0.08.
    expect(ranking!.rows[0]).toEqual(["ours", "1", "75 %; 20.0 / 40.0", "30 %; 56.0 / 16.0"]);
    expect(markdownTable(ranking!)).toContain("| ours | 1 | 75 %; 20.0 / 40.0 | 30 %; 56.0 / 16.0 |");
  });

  it("are apart for each encoder evaluated on, and say what the sets were made with", () => {
    const other = cells.map(({ cell, on, evaluations }) => ({
      cell,
      on: [...on, "f@64"],
      evaluations: [...evaluations, ...result(cell, evaluations[0].probes, "f@64").evaluations],
    }));
    const titles = comparisonTables(comparisonRows(other)).map((table) => [table.title, table.head[2]]);
    expect(titles.filter(([title]) => title!.includes("top-1"))).toEqual([
      ["pictures, evaluated on e@32: top-1, percent", "LGM head"],
      ["pictures, evaluated on f@64: top-1, percent", "distilled with"],
    ]);
  });

  it("keep encoders and data sets apart that lie in different folders under one name", () => {
    const texts = ["e@32", "other/e@32"];
    const twice = cells.map(({ cell, evaluations: [first] }) => ({
      cell,
      on: texts,
      evaluations: [first!, first!],
    }));
    const moved = cells.map(({ cell, on, evaluations }) => ({
      cell: { ...cell, data: { data: "elsewhere/pictures", published: undefined } },
      on,
      evaluations,
    }));
    expect(comparisonRows(twice).map((row) => row.evaluatedOn)).toEqual([0, 1, 2].flatMap(() => texts));
    const rows = comparisonRows([...cells, ...moved]);
    expect(rows.map((row) => row.data)).toEqual(
      ["pictures", "elsewhere/pictures"].flatMap((name) => [name, name, name]),
    );
    expect(rows[0].outcomes[0].top1.values).toHaveLength(3);
  });

  it("measure a set against real images that were resized as for its own encoder", () => {
    const withOther = (cell: Cell): Cell => ({
      ...cell,
      encoder: { encoder: { text: "f@64", encoder: "f", size: 64 }, published: undefined },
    });
    const halved = cells.map(({ cell, evaluations: [first] }): CellResult => {
      const half = first!.probes.map(({ top1, ...rest }) => {
        const values = top1.values.map((x) => x / 2);
        return { ...rest, top1: { ...meanStd(values), values } };
      });
      return {
        cell: withOther(cell),
        on: ["e@32"],
        evaluations: [{ ...first!, distilledWith: "f@64", probes: half }],
      };
    });
    const [, ranking] = comparisonTables(comparisonRows([...cells, ...halved]));
    expect(ranking!.rows.map((row) => row[2])).toEqual(
      // 0.6 of 0.8 with random images at 0.2; then all halved.
      ["75 %; 20.0 / 40.0", "25 %; 60.0 / 0.0", "75 %; 10.0 / 20.0", "25 %; 30.0 / 0.0"],
    );
  });

  it("say of how many epochs the full data's heads are where those are others", () => {
    const shorter = cells.map(({ cell, on, evaluations }) => ({
      cell,
      on,
      evaluations: evaluations.map((e) => ({ ...e, epochs: cell.baseline === "full" ? 2 : 5 })),
    }));
    const notes = (of: readonly CellResult[]) => comparisonTables(comparisonRows(of))[0].notes.join(" ");
    expect(notes(shorter)).toContain("The full data's heads: 2 epochs, 3 seeds.");
    expect(notes(cells)).not.toContain("full data's heads");
  });
});
