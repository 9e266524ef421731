/**
 * How well wrong labels are found, and how fast: labels of emoji flipped at random, ranked by `clp-dd check` and by cleanlab's
 * find_label_issues from cross-validated probabilities of the same features. Settings of both are chosen on the icons of two
 * artists, and measured on those of four others. Writes its part of docs/check-results.md. cleanlab is one of bench/peers; without
 * it its columns are empty.
 *
 *   node .bench/bench/runs/labels.js [--rates 0.05,0.2] [--seeds 1] [--size 128] [--threads 2]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkLabels, judgedLabels } from "../../src/evaluate/check-labels.ts";
import { openRunContext, type RunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { type KernelSettings, kernelLeftOutRows, kernelSettings } from "../../src/probe/kernel-left-out.ts";
import { matrix } from "../../src/probe/matrix.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { averagePrecision, flipLabels } from "../lib/flipped-labels.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";
import { peerPython, runPeer } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: {
    rates: { type: "string", default: "0.05,0.2" },
    seeds: { type: "string", default: "1" },
    size: { type: "string", default: "128" },
    threads: { type: "string", default: "2" },
  },
});
const rates = options.rates.split(",").map(Number);
const seeds = Array.from({ length: Number(options.seeds) }, (_, seed) => seed);
/** Not those that are measured. */
const choosingSeeds = [101, 102];
const choices: readonly KernelSettings[] = [1, 2, 4].flatMap((width) =>
  [0.3, 1, 3].map((penalty) => ({ width, penalty })),
);
const inverseStrengths = [1, 10, 100];
const size = Number(options.size);
const context = { signal: new AbortController().signal, progress() {}, note() {} };

/** Features in memory, raw and after the map that is fitted on them. */
interface Held {
  readonly raw: Float32Array;
  readonly labels: Int32Array;
  readonly map: FeatureMap;
}

async function held(rows: FeatureRows): Promise<Held> {
  const raw = new Float32Array(rows.count * rows.featureSize);
  await rows.rows(
    Int32Array.from({ length: rows.count }, (_, i) => i),
    raw,
  );
  const [map] = (await fitFeatureMaps(["standardize-l2"], rows)) as [FeatureMap];
  return { raw, labels: rows.labels, map };
}

const place = await openRunContext(
  {
    ...{ data: "emoji", encoder: "efficientnet-lite0", size, resize: size, threads: Number(options.threads) },
    ...{ cacheFolder: userCache(), maxBad: 0 },
  },
  context,
);
const { gemm } = place;
const classes = place.source.classes.length;

/** Suspected rows, the surest first, by the search for wrong labels alone. */
async function ranking({ raw, map }: Held, labels: Int32Array, settings: KernelSettings): Promise<number[]> {
  const scores = matrix(labels.length, classes);
  const rows = featuresInMemory(raw, labels);
  for await (const batch of kernelLeftOutRows(rows, classes, map, gemm, settings)) {
    scores.data.set(batch.scores.data, batch.indices[0]! * classes);
  }
  return judgedLabels(scores, labels).suspects.map(({ row }) => row);
}

interface PeerAnswer {
  readonly version: string;
  readonly ranked: number[];
  readonly crossValidation: number;
  readonly cleanlab: number;
}

async function cleanlabOn({ raw, map }: Held, labels: Int32Array, strength: number): Promise<PeerAnswer> {
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-labels-"));
  try {
    await writeFile(
      join(folder, "features.f32"),
      new Float32Array(map.apply(raw, labels.length).values.data),
    );
    await writeFile(join(folder, "labels.i32"), labels);
    const { length } = labels;
    const args = [folder, String(length), String(raw.length / length), String(strength)];
    return JSON.parse(runPeer("labels.py", args)) as PeerAnswer;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const best = <T extends { readonly precision: number }>(tried: readonly T[]): T =>
  tried.reduce((a, b) => (b.precision > a.precision ? b : a));

async function chosen({ test }: RunContext) {
  const other = await held(test!);
  const tasks = rates.flatMap((rate) =>
    choosingSeeds.map((seed) => flipLabels(other.labels, classes, rate, seed)),
  );
  const tried: { settings: KernelSettings; precision: number }[] = [];
  for (const settings of choices) {
    const found: number[] = [];
    for (const { labels, wrong } of tasks)
      found.push(averagePrecision(await ranking(other, labels, settings), wrong));
    tried.push({ settings, precision: mean(found) });
    console.error(settings, tried.at(-1)!.precision.toFixed(4));
  }
  const peers: { strength: number; precision: number }[] = [];
  for (const strength of peerPython() === undefined ? [] : inverseStrengths) {
    const found: number[] = [];
    for (const { labels, wrong } of tasks.filter((_, k) => k % choosingSeeds.length === 0))
      found.push(averagePrecision((await cleanlabOn(other, labels, strength)).ranked, wrong));
    peers.push({ strength, precision: mean(found) });
    console.error("cleanlab, C", strength, peers.at(-1)!.precision.toFixed(4));
  }
  return { tried, peers, count: other.labels.length };
}

async function measured(settings: KernelSettings, strength: number | undefined): Promise<string[]> {
  const own = await held(place.train);
  const rows: string[] = [];
  for (const rate of rates) {
    const found: { own: number; peer?: number; alone: number; whole: number; theirs?: number }[] = [];
    for (const seed of seeds) {
      const { wrong, labels } = flipLabels(own.labels, classes, rate, seed);
      let began = performance.now();
      const ranked = await ranking(own, labels, settings);
      const alone = (performance.now() - began) / 1000;
      began = performance.now();
      await checkLabels(featuresInMemory(own.raw, labels), classes, own.map, gemm);
      const whole = (performance.now() - began) / 1000;
      const peer = strength === undefined ? undefined : await cleanlabOn(own, labels, strength);
      found.push({
        ...{ own: averagePrecision(ranked, wrong), alone, whole },
        ...(peer && { peer: averagePrecision(peer.ranked, wrong) }),
        ...(peer && { theirs: peer.crossValidation + peer.cleanlab }),
      });
      console.error(rate, found.at(-1));
    }
    const of = (key: "own" | "peer" | "alone" | "whole" | "theirs") =>
      mean(found.map((one) => one[key] ?? Number.NaN));
    const shown = (value: number, digits: number, unit = "") =>
      Number.isNaN(value) ? "–" : `${value.toFixed(digits)}${unit}`;
    rows.push(
      `| ${100 * rate} % | ${shown(of("own"), 3)} | ${shown(of("peer"), 3)} | ${shown(of("alone"), 2, " s")} | ${shown(of("whole"), 2, " s")} | ${shown(of("theirs"), 1, " s")} | ${shown(of("theirs") / of("alone"), 0)} | ${shown(of("theirs") / of("whole"), 0)} |`,
    );
  }
  return rows;
}

const { tried, peers, count } = await chosen(place);
const { settings } = best(tried);
const strength = peers.length > 0 ? best(peers).strength : undefined;
if (settings.width !== kernelSettings.width || settings.penalty !== kernelSettings.penalty) {
  console.error("The settings in src/probe/kernel-left-out.ts are others than the best ones here:", settings);
}
// Once, so that sessions are made and pages are warm.
const warm = await held(place.test!);
await checkLabels(featuresInMemory(warm.raw, warm.labels), classes, warm.map, gemm);
const rows = await measured(kernelSettings, strength);
writeMeasuredPart(
  "docs/check-results.md",
  "bench/runs/labels.ts",
  `
${place.train.count} icons of four artists at ${size} px, ${place.train.featureSize} features, ${classes} classes; mean over ${seeds.length} draws of the
flipped labels. The search alone is what ranks the labels; a whole check also finds λ, accuracy and outliers. Cleanlab's time is that of 5 folds of
logistic regression on the same mapped features, and of \`find_label_issues\` (ranked by self-confidence).

| labels flipped | average precision | cleanlab's | search alone | whole check | cleanlab | times as fast: search | whole check |
|---|--:|--:|--:|--:|--:|--:|--:|
${rows.join("\n")}

Settings were chosen on other icons and other draws: ${count} of two other artists. Average precision there, mean over both shares and ${choosingSeeds.length} draws
(cleanlab: one), by the kernel's width and penalty: ${tried.map(({ settings: s, precision }) => `${s.width}, ${s.penalty}: ${precision.toFixed(3)}`).join("; ")}. In use: ${kernelSettings.width}, ${kernelSettings.penalty}.${
    peers.length > 0
      ? ` Cleanlab's by the inverse strength C of its regression: ${peers.map((p) => `${p.strength}: ${p.precision.toFixed(3)}`).join("; ")}.`
      : ""
  }
Fashion-MNIST is in no package registry, so it is not measured here.

${measuredBy("bench/runs/labels.ts")}
`,
);
await place.release();
process.exit(0);
