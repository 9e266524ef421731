/** The sections about real features: extracted from files, and probed. */
import { formatBytes, formatCount, formatPercent, formatSeconds } from "../../src/format.ts";
import { peerPython } from "../lib/peer.ts";
import type { Extraction } from "../runs/extraction.ts";
import type { ProbeBench } from "../runs/probe.ts";
import { type BenchOptions, child, type Report } from "./section.ts";
import { each, formatTable, ms, nameOf, noted, ratioOf } from "./section-text.ts";

interface RidgeBench {
  readonly gemm: { readonly gflops: number };
  readonly solve: readonly {
    readonly m: number;
    readonly d: number;
    readonly C: number;
    readonly solveMs: number;
    readonly adjointMs: number;
    readonly shareOfPeak: number;
    readonly peer?: { readonly solveMs: number; readonly adjointMs: number };
    readonly ratio?: number;
    readonly agreement?: number;
  }[];
}

export function ridge({ quick, threads }: BenchOptions): Report {
  const rounds = quick ? ["--quick", "--rounds", 3] : ["--rounds", 5];
  const found = child<RidgeBench>(
    "ridge.js",
    [...rounds, "--threads", threads, "--early"],
    quick ? 45 : undefined,
  );
  const table = formatTable(
    ["m", "d", "C", "solve", "adjoint", "of peak", "SciPy solve", "adjoint", "ratio"],
    found.solve.map((s) => [
      ...[`${s.m}`, `${s.d}`, `${s.C}`, ms(s.solveMs), ms(s.adjointMs), formatPercent(s.shareOfPeak, 0)],
      ...[s.peer ? ms(s.peer.solveMs) : "–", s.peer ? ms(s.peer.adjointMs) : "–", ratioOf(s.ratio)],
    ]),
  );
  const differences = found.solve.flatMap((s) => s.agreement ?? []);
  const agreement =
    differences.length > 0
      ? `W, dZs and dYs differ from SciPy's by at most ${Math.max(...differences).toExponential(1)}, relatively.`
      : "SciPy was not run: the peers are not installed (bench/peers/setup).";
  const main = found.solve.find(({ m, C }) => m === 1000 && C === 1000);
  return {
    text: `Milliseconds. Double matrix products: ${found.gemm.gflops.toFixed(1)} GFLOP/s.\n\n${table}\n\n${agreement}\n`,
    json: { solve: { ratio: main?.ratio ?? null } },
  };
}

/** [encoder, images]: so many that starting processes is little beside them, in some minutes. */
const extractionSettings = [
  ["efficientnet-lite0", 1024],
  ["vit-s16", 512],
  ["vit-b16", 128],
] as const;

export function extraction({ quick, threads }: BenchOptions): Report {
  const models = quick || peerPython() === undefined ? extractionSettings.slice(0, 1) : extractionSettings;
  const { results, notes } = each(
    models,
    ([model]) => `extraction ${model}`,
    ([model, count]) =>
      child<Extraction>("extraction.js", [
        ...["--model", model, "--count", quick ? 96 : count, "--rounds", quick ? 2 : 3, "--threads", threads],
      ]),
  );
  return {
    text: `${formatTable(
      ["encoder", "images", "whole", "alone", "ratio", "bound", "encode", "decode", "resize"],
      results.map((r) => [
        ...[nameOf(r.model, r.size), `${r.count}`, r.endToEnd.toFixed(1), r.encoderAlone.toFixed(1)],
        ...[
          ratioOf(r.ratio),
          ratioOf(r.bound),
          ms(r.coreMs.encode),
          ms(r.coreMs.decode),
          ms(r.coreMs.resize),
        ],
      ]),
    )}\n\n${noted(notes)}`,
  };
}

/** "SGDClassifier: stopped after 32,768 of 1,280,000 rows (time); all would take about 1 h 03 min". */
function stoppedNote({ n, sides }: ProbeBench): string[] {
  return sides.flatMap(({ name, rows, seconds, peakMemoryBytes, stopped }) => {
    if (!stopped) return [];
    const [all, memory] = [(seconds * n) / rows, (peakMemoryBytes * n) / rows];
    // One pass needs no more memory for more rows; what holds them does.
    const needed = stopped === "memory" ? ` and ${formatBytes(memory)}` : "";
    return [
      `${name}: stopped after ${formatCount(rows)} of ${formatCount(n)} rows for lack of ${stopped}; at that rate all of them would take ${formatSeconds(all)}${needed}`,
    ];
  });
}

export function probe({ quick, slow, threads, peerSeconds }: BenchOptions): Report {
  const sizes = quick
    ? [[10_000, 100]]
    : slow
      ? [
          [50_000, 1000],
          [1_280_000, 1000],
        ]
      : [[50_000, 1000]];
  const { results, notes } = each(
    sizes,
    ([n, classes]) => `probe of ${n} × 768, ${classes} classes`,
    ([n, classes]) =>
      child<ProbeBench>("probe.js", [
        ...["--n", n!, "--classes", classes!, "--threads", threads],
        ...["--peer-seconds", quick ? 20 : peerSeconds],
      ]),
  );
  const rest = slow ? "" : "1,280,000 rows: not run (`npm run bench -- --slow`).\n";
  return {
    text: `${formatTable(
      ["rows", "classes", "probe", "seconds", "peak memory", "top-1"],
      results.flatMap((r) =>
        r.sides.map((side) => [
          ...[formatCount(side.rows), `${r.classes}`, side.name, side.seconds.toFixed(1)],
          ...[formatBytes(side.peakMemoryBytes), formatPercent(side.top1)],
        ]),
      ),
    )}\n\n${rest}${noted([...notes, ...results.flatMap((r) => [...stoppedNote(r), ...r.notes])])}`,
  };
}
