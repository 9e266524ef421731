/** The section about runs on several machines. */
import { readFileSync } from "node:fs";
import { type ExchangeModel, fitExchange, megabytes, predicted, vitB16Flop } from "../lib/exchange-model.ts";
import type { Exchange } from "../runs/exchange.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, ms, noted } from "./section-text.ts";

interface Solve {
  readonly m: number;
  readonly d: number;
  readonly milliseconds: number;
}

const settings = [10, 100, 1000].flatMap((m) =>
  [768, 1280].flatMap((d) => [1, 2, 4].map((workers) => [m, d, workers] as const)),
);
/** What the plan takes for given; everything else is measured. */
const plan = {
  /** Cores of a worker. */
  cores: 8,
  /** GFLOP/s that a core keeps up in the encoder. */
  gigaflops: 40,
  /** Gigabytes per second of a server's network, 10 Gb/s. */
  network: 1.25,
  shard: 8,
  d: 768,
};

export function machines({ quick }: BenchOptions): Report {
  const { results, notes } = each(
    quick ? settings.filter(([m, d]) => m === 1000 && d === 768) : settings,
    ([m, d, workers]) => `exchange of ${m} × ${d} among ${workers}`,
    ([m, d, workers]) =>
      child<Exchange>("exchange.js", ["--m", m, "--d", d, "--workers", workers, "--steps", 20], 120),
  );
  const solves = each(
    quick ? [300] : [300, 1000],
    (m) => `probe of ${m}`,
    (m) => child<Solve>("solve.js", ["--m", m, "--d", plan.d, "--steps", 3], 120),
  );
  // Half of the settings fit the model, the others check it.
  const model = fitExchange(results.filter((_, i) => i % 2 === 0 || results.length < 6));
  const table = formatTable(
    ["m", "d", "workers", "shards", "exchange ms", "model ms", "MB in", "MB out", "step ms"],
    results.map((r) => [
      ...[`${r.m}`, `${r.d}`, `${r.workers}`, `${r.shards}`, ms(r.milliseconds), ms(predicted(model, r))],
      ...[(r.bytesIn / 1e6).toFixed(2), (r.bytesOut / 1e6).toFixed(2), ms(r.stepMilliseconds)],
    ]),
  );
  const checked = results.filter((_, i) => i % 2 === 1);
  const errors = checked.map((r) => predicted(model, r) / r.milliseconds).sort((a, b) => a - b);
  const said =
    "Step: a whole step with an encoder of one layer and one image per class, in which every worker solves the probe of all images.\n\n" +
    `Model: ${ms(model.perStep)} ms, ${(1000 * model.perShard).toFixed(0)} µs for each shard and worker, ` +
    `${model.perMegabyte.toFixed(2)} ms per MB through the server, fitted to every other row. ` +
    (errors.length === 0
      ? ""
      : `On the other rows it is ${errors[0].toFixed(2)} to ${errors.at(-1)!.toFixed(2)} times the measurement.`);
  const solved = solves.results.map((s) => `${ms(s.milliseconds)} ms for ${s.m}`).join(", ");
  const planned = planText(model, solves.results);
  const text = `${table}\n\n${said}\n\nProbe and its gradient, which every worker computes, d = ${plan.d}, one thread: ${solved}.\n\n${planned}\n${noted([...notes, ...solves.notes])}`;
  return { text, files: { "many-machines.md": withPlan(`${table}\n\n${said}\n\n${planned}`) } };
}

/** Seconds of a step of runs that were not measured. */
function planText(model: ExchangeModel, solves: readonly Solve[]): string {
  const largest = solves.at(-1);
  // Products and factorization of m × m and m × d matrices.
  const work = (m: number) => m ** 2 * (plan.d + m / 3);
  const solveSeconds = (m: number) =>
    largest === undefined ? Number.NaN : (largest.milliseconds / 1000 / work(largest.m)) * work(m);
  const rows = (
    [
      ["ImageNet-1K", 1000],
      ["ImageNet-21K", 21_841],
    ] as const
  ).flatMap(([name, m]) =>
    [8, 64, 1000].map((workers) => {
      const shards = Math.ceil(m / plan.shard);
      const rounds = Math.ceil(shards / (workers * plan.cores));
      const images = (rounds * plan.shard * vitB16Flop()) / (1e9 * plan.gigaflops);
      const bytes = 4 * m * plan.d;
      const network = (groups: number) => (bytes * (1 + groups)) / (1e9 * plan.network);
      const local = predicted(model, { m, d: plan.d, workers, shards }) / 1000;
      const flat = Math.max(local, network(workers));
      // Groups of √W: one of each reads from the server and hands on to its group at the same speed.
      const groups = Math.ceil(Math.sqrt(workers));
      const grouped =
        Math.max(
          predicted(model, { m, d: plan.d, workers: groups, shards: groups }) / 1000,
          network(groups),
        ) + network(Math.ceil(workers / groups));
      return [
        ...[name, `${workers}`, seconds(images), seconds(solveSeconds(m))],
        ...[seconds(flat), seconds(grouped), (megabytes({ m, d: plan.d, workers }) / 1000).toFixed(1)],
      ];
    }),
  );
  return `Seconds per step by the model for ViT-B/16 at 224 px, one image per class; ${plan.cores} cores per worker at ${plan.gigaflops} GFLOP/s and a network of 10 Gb/s are assumed. Images: rendering aside, ${(vitB16Flop() / 1e9).toFixed(0)} GFLOP each. Flat: as it is built. Grouped: gathered by √workers groups, of which one worker each reads from the server (not built).\n\n${formatTable(
    ["data", "workers", "images", "probe", "flat", "grouped", "GB per step"],
    rows,
  )}`;
}

const seconds = (value: number): string => (value < 10 ? value.toFixed(2) : value.toFixed(0));

/** docs/many-machines.md with its measured part written anew. */
function withPlan(text: string): string {
  const page = readFileSync("docs/many-machines.md", "utf8");
  const [begin, end] = [
    "<!-- measured: npm run bench -- --only machines -->",
    "<!-- end of the measured part -->",
  ];
  const [before, after] = [page.slice(0, page.indexOf(begin)), page.slice(page.indexOf(end))];
  return `${before}${begin}\n\n\`\`\`\n${text.trim()}\n\`\`\`\n\n${after}`;
}
