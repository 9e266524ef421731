/** The sections about whole steps and runs of a distillation. */
import { formatBytes, formatPercent } from "../../src/format.ts";
import { type EqualAccuracy, judges } from "../lib/equal-accuracy-table.ts";
import { peerPython } from "../lib/peer.ts";
import type { DistillSteps } from "../runs/distill-step.ts";
import type { Growth } from "../runs/growth.ts";
import type { Scaling } from "../runs/scaling.ts";
import type { Start } from "../runs/start.ts";
import { growthSvg } from "./growth-chart.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, ms, nameOf, noted, ratioOf } from "./section-text.ts";

/** [encoder, size, images]: as many as classes, and where memory allows it four a class. */
const stepSettings = [
  ["efficientnet-lite0", 128, 10],
  ["efficientnet-lite0", 128, 40],
  ["vit-s16", 224, 10],
] as const;

export function distillStep({ quick, threads }: BenchOptions): Report {
  const available = (quick ? stepSettings.slice(0, 1) : stepSettings).filter(
    ([model]) => peerPython() !== undefined || model === "efficientnet-lite0",
  );
  const { results, notes } = each(
    available,
    ([model, size, m]) => `step ${nameOf(model, size)}, ${m} images`,
    ([model, size, m]) =>
      child<DistillSteps>(
        "distill-step.js",
        [
          ...["--model", model, "--size", size, "--m", m, "--threads", threads],
          ...["--seconds", quick ? 6 : 20, ...(quick || m > 10 ? ["--pair"] : [])],
        ],
        quick ? 60 : undefined,
      ),
  );
  const table = formatTable(
    ["encoder", "images", "method", "ms per step", "ratio", "memory", "ratio"],
    results.flatMap((r) => {
      const [ours] = r.sides;
      return r.sides.map((side) => [
        nameOf(r.model, r.size),
        `${r.m}`,
        side.name,
        ms(side.msPerStep),
        ratioOf(side.ratio),
        formatBytes(side.peakMemoryBytes),
        side === ours ? "–" : ratioOf(side.peakMemoryBytes / ours!.peakMemoryBytes),
      ]);
    }),
  );
  const [first] = results;
  return {
    text: `${table}\n\n${noted([...notes, ...results.flatMap((r) => r.notes.map((note) => `${nameOf(r.model, r.size)}, ${r.m} images: ${note}`))])}`,
    json: { step: { ratio: first?.ratio ?? null, memoryRatio: first?.memoryRatio ?? null } },
  };
}

const seconds = (value: number | undefined): string =>
  value === undefined ? "–" : value.toFixed(value < 9.95 ? 1 : 0);

export function equalAccuracy({ quick, threads, equalSeconds }: BenchOptions): Report {
  if (quick) return { text: "Not run with --quick.\n" };
  if (peerPython() === undefined)
    return { text: "Not run: the peers are not installed (bench/peers/setup).\n" };
  const found = child<EqualAccuracy>("equal-accuracy.js", ["--seconds", equalSeconds, "--threads", threads]);
  const equal = formatTable(
    ["top-1 by", "LGM's best", "its s", "recipe", "s", "steps", "ratio"],
    found.rows.flatMap((row) =>
      row.own.map((own) => [
        ...[row.judge, formatPercent(row.target), seconds(row.lgmSeconds), own.name],
        ...[seconds(own.seconds), `${own.steps ?? "–"}`, ratioOf(own.ratio)],
      ]),
    ),
  );
  const ends = formatTable(
    ["at its end", "steps", "s", ...judges],
    found.trainings.map(({ name, snapshots }) => {
      const { steps, seconds: spent, accuracies } = snapshots.at(-1)!;
      return [name, `${steps}`, seconds(spent), ...judges.map((judge) => formatPercent(accuracies[judge]))];
    }),
  );
  const best = found.rows.map(({ judge, lgm }) => `${judge}: ${lgm}`);
  return {
    text: `${equal}\n\n${ends}\n\nLGM's better schedule: ${best.join("; ")}. Heads: ${found.seeds} seeds.\n`,
    json: { equalAccuracy: Object.fromEntries(found.rows.map((r) => [r.judge, r.own[0]?.ratio ?? null])) },
  };
}

export function start({ quick, threads }: BenchOptions): Report {
  const found = child<Start>("start.js", [
    "--threads",
    threads,
    ...(quick ? ["--rounds", 5, "--no-demo"] : []),
  ]);
  const { nodeMs, versionMs, oneStep, demo } = found;
  const starts = formatTable(
    ["command", "ms", "ratio"],
    [
      ["node -e 0", ms(nodeMs), "–"],
      ["clp-dd --version", ms(versionMs), ratioOf(versionMs / nodeMs)],
    ],
  );
  const runs = [
    ["one step", oneStep],
    ["whole demo", demo],
  ] as const;
  const stages = formatTable(
    ["run", "stage", "seconds", "memory"],
    runs.flatMap(([name, run]) =>
      run === undefined
        ? []
        : [
            ...run.stages.map((stage) => [
              ...[name, stage.name, stage.seconds.toFixed(1), formatBytes(stage.peakMemoryBytes)],
            ]),
            [name, "all", run.seconds.toFixed(1), formatBytes(run.peakMemoryBytes)],
          ],
    ),
  );
  return {
    text: `${starts}\n\n${stages}\n`,
    json: {
      start: {
        ratio: versionMs / nodeMs,
        oneStepSeconds: oneStep.seconds,
        demoSeconds: demo?.seconds ?? null,
      },
    },
  };
}

/** [encoder, size, images, augmented draws beside the image as it is]: the demo's step, and one that has many shards. */
const scalingSettings = [
  ["efficientnet-lite0", 128, 8, 1],
  ["vit-s16", 224, 32, 0],
] as const;

/** A row of what was not measured as the others were, where there is any. */
const extra = (
  { model, size, m, points }: Scaling,
  name: string,
  msPerStep: number | undefined,
): string[][] =>
  msPerStep === undefined
    ? []
    : [[nameOf(model, size), `${m}`, name, ms(msPerStep), ratioOf(points[0]!.msPerStep / msPerStep), "–"]];

export function scaling({ quick }: BenchOptions): Report {
  const { results, notes } = each(
    quick ? scalingSettings.slice(0, 1) : scalingSettings,
    ([model, size, m]) => `scaling ${nameOf(model, size)}, ${m} images`,
    ([model, size, m, augment]) =>
      child<Scaling>("scaling.js", ["--model", model, "--size", size, "--m", m, "--augment", augment]),
  );
  const table = formatTable(
    ["encoder", "images", "threads", "ms per step", "faster", "memory"],
    results.flatMap((r) => [
      ...r.points.map((point) => [
        nameOf(r.model, r.size),
        ...[`${r.m}`, `${point.threads}`, ms(point.msPerStep)],
        ...[ratioOf(r.points[0]!.msPerStep / point.msPerStep), formatBytes(point.peakMemoryBytes)],
      ]),
      ...extra(r, "side by side", r.sideBySide),
      ...extra(r, "16, fitted", r.fitted),
    ]),
  );
  return { text: `${table}\n\n${noted(notes)}` };
}

interface MemoryPoint {
  readonly m: number;
  readonly batch: number;
  readonly peakMemoryBytes: number;
  readonly parameterBytes: number;
  readonly activationBytes: number;
  readonly secondsPerStep: number;
}

export function memory({ quick }: BenchOptions): Report {
  const { results: points, notes } = each(
    [10, 100, 1000],
    (m) => `memory of ${m} images`,
    (m) => child<MemoryPoint>("memory.js", ["--m", m, "--steps", quick ? 1 : 3]),
  );
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  return {
    text: `${formatTable(
      ["m", "chunk", "peak MiB", "parameters + Adam MiB", "one chunk MiB", "s a step"],
      points.map((r) => [
        ...[`${r.m}`, `${r.batch}`, mebibytes(r.peakMemoryBytes), mebibytes(r.parameterBytes)],
        ...[mebibytes(r.activationBytes), r.secondsPerStep.toFixed(2)],
      ]),
    )}\n\n${noted(notes)}`,
  };
}

export function growth({ quick, threads }: BenchOptions): Report {
  if (quick) return { text: "Not run with --quick.\n" };
  const found = child<Growth[]>("growth.js", ["--threads", threads]);
  const table = formatTable(
    ["quantity", "values", "ms per step", "time ~ xᵖ", "last doubling", "memory ~ xᵖ"],
    found.map((g) => [
      g.axis,
      `${g.points[0].value}–${g.points.at(-1)!.value}`,
      `${ms(g.points[0].msPerStep)}–${ms(g.points.at(-1)!.msPerStep)}`,
      ...[g.timeExponent.toFixed(2), `× ${g.lastDoubling.toFixed(2)}`, g.memoryExponent.toFixed(2)],
    ]),
  );
  return { text: `${table}\n`, files: { "growth.svg": growthSvg(found) } };
}
