import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { clpdd, type Outcome } from "../support/command.ts";
import { makePhotos } from "../support/photos.ts";

let home: string;
const at = (name: string) => join(home, name);
const lastJson = ({ stdout }: Outcome) => JSON.parse(stdout.trim().split("\n").at(-1)!);
const compare = async (name: string, config: unknown, ...more: string[]) => {
  await writeFile(at(`${name}.yaml`), stringify(config));
  return clpdd([
    "compare",
    at(`${name}.yaml`),
    "--out",
    at("out"),
    "--cache-dir",
    at("cache"),
    "--json",
    ...more,
  ]);
};
const cellFiles = async () => {
  const folders = (await readdir(at("out/cells"))).sort();
  const files = await Promise.all(
    folders.map(async (folder) => {
      const [file] = (await readdir(join(at("out/cells"), folder))).filter((n) => n.endsWith(".json"));
      return file === undefined ? undefined : join(at("out/cells"), folder, file);
    }),
  );
  return files.filter((file) => file !== undefined);
};

let grid: Record<string, unknown>;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "clp-dd-compare-"));
  await makePhotos(at("photos"), 6, 32);
  grid = {
    data: [{ data: at("photos"), published: "ImageNet-100" }],
    encoders: [{ encoder: "efficientnet-lite0@32", published: "CLIP-B" }],
    methods: [
      { name: "short", preset: "clp", config: { steps: 3, levelEvery: 1 } },
      "random",
      { baseline: "neighbors", of: "short" },
      "full",
    ],
    seeds: [0, 1],
    resize: 32,
    evaluate: { probes: ["closed-form", "tuned-head"], epochs: 5, augmentation: "off" },
  };
});
afterAll(() => rm(home, { recursive: true, force: true }));

// Many whole runs of the command line, one after the other.
describe("clp-dd compare", { timeout: 240_000 }, () => {
  it("runs every cell and writes the tables, published figures in a column of their own", async () => {
    const outcome = await compare("grid", grid, "--quiet", "--published", "docs/published.json");
    expect(outcome.stderr).toBe("");
    expect(outcome.code).toBe(0);
    const { rows, failures } = lastJson(outcome);
    expect(failures).toEqual([]);
    expect(rows.map((r: { method: string }) => r.method)).toEqual(["short", "random", "neighbors", "full"]);
    for (const { method, outcomes } of rows) {
      expect(outcomes.map((o: { probe: string }) => o.probe)).toEqual(["closed-form", "tuned-head"]);
      // Two seeds of the grid; what no seed changes has one value.
      expect(outcomes[0].top1.values).toHaveLength(method === "full" ? 1 : 2);
      expect(outcomes[1].top1.values).toHaveLength(2);
    }
    // One figure a row, and those that docs/published.json has for these names.
    expect(rows.map((r: { published?: number }) => r.published)).toEqual([undefined, 56.6, undefined, 92.5]);
    const markdown = await readFile(at("out/results.md"), "utf8");
    expect(markdown).toContain("PUBLISHED (LGM, arXiv 2511.16674)");
    const mean = (100 * rows[1].outcomes[0].top1.mean).toFixed(1);
    expect(markdown).toMatch(new RegExp(`\\| random \\| 1 \\| ${mean} ± .* \\| 56\\.6 \\|`));
    expect(JSON.parse(await readFile(at("out/results.json"), "utf8")).rows).toEqual(rows);
  });

  it("takes up what is done, and runs only the cells that are missing", async () => {
    const before = await cellFiles();
    expect(before).toHaveLength(7);
    const times = await Promise.all(before.map(async (file) => (await stat(file)).mtimeMs));
    // As a kill leaves it: one result half written, and its set whole.
    await writeFile(before[2], '{"evaluations": [');
    const again = await compare("grid", {
      ...grid,
      ipc: [1, 2],
      methods: ["random", ...(grid.methods as unknown[]).filter((m) => m !== "random")],
    });
    expect(again.code).toBe(0);
    for (const [i, file] of before.entries()) {
      if (i !== 2) expect((await stat(file)).mtimeMs, file).toBe(times[i]);
      else expect(JSON.parse(await readFile(file, "utf8")).evaluations).toHaveLength(1);
    }
    // Three methods with two images a class, two seeds each; full is the same.
    expect(await cellFiles()).toHaveLength(13);
    expect(existsSync(`${before[0]}.tmp`)).toBe(false);
  });

  it("resumes after an interrupt, from the stopped distillation's checkpoint", async () => {
    const methods = [{ preset: "clp", config: { steps: 60, levelEvery: 9 } }];
    const long = { ...grid, methods, seeds: [0], evaluate: { probes: ["closed-form"], augmentation: "off" } };
    await writeFile(at("long.json"), JSON.stringify(long));
    const args = ["compare", at("long.json"), "--out", at("long"), "--cache-dir", at("cache"), "--json"];
    const stopped = await clpdd(args, {
      started: (child) => {
        child.stderr!.on("data", (data) => {
          if (String(data).includes("synthetic images")) child.kill("SIGINT");
        });
      },
    });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toMatch(/Stopped in cell 1 of 1 .*resumes there/);
    const [cell] = await readdir(at("long/cells"));
    expect(await readdir(join(at("long/cells"), cell!))).toEqual(["set.checkpoint"]);
    const resumed = await clpdd([...args, "--quiet"]);
    expect(resumed.code).toBe(0);
    expect(lastJson(resumed).rows[0].outcomes[0].top1.values).toHaveLength(1);
    const curve = (await readFile(join(at("long/cells"), cell!, "set", "metrics.jsonl"), "utf8")).trim();
    expect(curve.split("\n").map((line) => JSON.parse(line).step)).toEqual(
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
    expect(existsSync(join(at("long/cells"), cell!, "set.checkpoint"))).toBe(false);
  });

  it("continues when a cell fails, and reports it at the end", async () => {
    const outcome = await compare("failing", { ...grid, ipc: [1, 99], methods: ["random"] }, "--quiet");
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/2 cells failed/);
    expect(outcome.stderr).toContain("--ipc");
    expect(lastJson(outcome).rows).toHaveLength(1);
  });

  it.each([
    [["--published", "nowhere.json"], /nowhere\.json/],
    [["--out", "package.json"], /--out package\.json .*file of that name/],
  ])("refuses %j before it runs a cell", async (options, message) => {
    const outcome = await compare("early", grid, ...options);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toContain("[1/");
    expect(outcome.code).toBe(2);
  });

  it.each([
    [{ methods: ["best"] }, /lgm-paper.*herding.*methods/s],
    [{ methods: [{ preset: "clp", config: { stpes: 3 } }] }, /stpes/],
    [{ methods: ["clp", "clp"] }, /"name"/],
    [{ methods: [{ baseline: "neighbors" }] }, /"of"/],
    [{ encoders: ["a@4"] }, /at least 8/],
    [{ seed: [1] }, /seed/],
  ])("refuses %j with what to do", async (change, message) => {
    const outcome = await compare("wrong", { ...grid, ...change });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.code).toBe(2);
  });
});
