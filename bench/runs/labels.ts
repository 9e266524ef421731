/**
 * How well wrong labels are found, and how fast: labels of the emoji set flipped at random, ranked by `clp-dd check` and by
 * cleanlab's find_label_issues from cross-validated probabilities of the same features; then the time and memory of a check of
 * made features. Writes docs/check-results.md. cleanlab is one of bench/peers; without it its columns are empty.
 *
 *   node .bench/bench/runs/labels.js [--rates 0.05,0.2] [--size 128] [--made 50000x768x100|none] [--threads 2]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkLabels } from "../../src/evaluate/check-labels.ts";
import { openRunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { chooseGemm, type Gemm, jsGemm } from "../../src/probe/gemm.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { seededRandom } from "../../src/random.ts";
import { peerPython, runPeer } from "../lib/peer.ts";

const { values: options } = parseArgs({
  options: {
    rates: { type: "string", default: "0.05,0.2" },
    size: { type: "string", default: "128" },
    made: { type: "string", default: "50000x768x100" },
    threads: { type: "string", default: "2" },
  },
});
const context = { signal: new AbortController().signal, progress() {}, note() {} };

/** Some labels moved to another class at random; which ones, and the labels. */
function flipped(labels: Int32Array, classes: number, rate: number) {
  const random = seededRandom(0, `flip ${rate}`);
  const wrong = new Set<number>();
  const out = labels.slice();
  while (wrong.size < Math.floor(rate * labels.length)) {
    const row = Math.floor(random.uniform() * labels.length);
    if (wrong.has(row)) continue;
    wrong.add(row);
    out[row] = (labels[row] + 1 + Math.floor(random.uniform() * (classes - 1))) % classes;
  }
  return { wrong, labels: out };
}

/** Average precision of a ranking; what is not in it is never found. */
function averagePrecision(ranked: readonly number[], wrong: ReadonlySet<number>): number {
  let found = 0;
  let sum = 0;
  for (const [i, row] of ranked.entries()) if (wrong.has(row)) sum += ++found / (i + 1);
  return sum / wrong.size;
}

interface PeerAnswer {
  readonly version: string;
  readonly ranked: number[];
  readonly crossValidation: number;
  readonly cleanlab: number;
}

async function cleanlabOn(features: Float32Array, labels: Int32Array): Promise<PeerAnswer | undefined> {
  if (peerPython() === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "clp-dd-labels-"));
  try {
    await writeFile(join(folder, "features.f32"), features);
    await writeFile(join(folder, "labels.i32"), labels);
    const { length } = labels;
    return JSON.parse(
      runPeer("labels.py", [folder, String(length), String(features.length / length)]),
    ) as PeerAnswer;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function emoji(): Promise<string[]> {
  const place = await openRunContext(
    {
      ...{ data: "emoji", encoder: "efficientnet-lite0", size: Number(options.size) },
      ...{ resize: Number(options.size), threads: Number(options.threads) },
      ...{ cacheFolder: userCache(), maxBad: 0 },
    },
    context,
  );
  const { train, gemm, source } = place;
  const classes = source.classes.length;
  const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
  const raw = new Float32Array(train.count * train.featureSize);
  await train.rows(
    Int32Array.from({ length: train.count }, (_, i) => i),
    raw,
  );
  const mapped = Float32Array.from(map.apply(raw, train.count).values.data);
  const rows: string[] = [];
  for (const rate of options.rates.split(",").map(Number)) {
    const { wrong, labels } = flipped(train.labels, classes, rate);
    const began = performance.now();
    const { suspects } = await checkLabels(featuresInMemory(raw, labels), classes, map, gemm);
    const seconds = (performance.now() - began) / 1000;
    const own = averagePrecision(
      suspects.map(({ row }) => row),
      wrong,
    );
    console.error(`${100 * rate} % flipped: ${own.toFixed(3)} in ${seconds.toFixed(1)} s`);
    const peer = await cleanlabOn(mapped, labels);
    const theirs = peer && peer.crossValidation + peer.cleanlab;
    rows.push(
      `| ${100 * rate} % | ${own.toFixed(3)} | ${peer ? averagePrecision(peer.ranked, wrong).toFixed(3) : "–"} | ${seconds.toFixed(1)} s | ${
        theirs ? `${theirs.toFixed(1)} s` : "–"
      } | ${theirs ? (theirs / seconds).toFixed(0) : "–"} |`,
    );
    console.error(rows.at(-1));
  }
  await place.release();
  return [
    `${train.count} training images of the emoji set at ${options.size} px, ${train.featureSize} features, ${classes} classes:`,
    "",
    "| labels flipped | average precision | cleanlab's | time | cleanlab's, with cross-validation | times as fast |",
    "|---|---|---|---|---|---|",
    ...rows,
  ];
}

/** Features around a center for each class, held in memory as a cache on a disk is not. */
function made(count: number, d: number, classes: number): FeatureRows {
  const random = seededRandom(0, "made features");
  const centers = Float32Array.from({ length: classes * d }, () => random.normal());
  const features = new Float32Array(count * d);
  for (let at = 0; at < features.length; at++) {
    const row = Math.floor(at / d);
    features[at] = 0.5 * centers[(row % classes) * d + (at % d)] + random.normal();
  }
  return featuresInMemory(
    features,
    Int32Array.from({ length: count }, (_, i) => i % classes),
  );
}

async function large(): Promise<string> {
  const [count, d, classes] = options.made.split("x").map(Number);
  const runtime = nodeRuntime({ threads: Number(options.threads) });
  const ort = ortGemm(runtime);
  const gemm: Gemm = chooseGemm(jsGemm, ort);
  const train = made(count, d, classes);
  const began = performance.now();
  const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
  await checkLabels(train, classes, map, gemm);
  const labels = (performance.now() - began) / 1000;
  await similarPairs([train], map, 0.95, gemm);
  const seconds = (performance.now() - began) / 1000;
  await ort.release();
  const peak = process.resourceUsage().maxRSS / 2 ** 20;
  return (
    `${count} × ${d} made features of ${classes} classes: ${seconds.toFixed(1)} s in all, ${labels.toFixed(1)} s of them for labels, ` +
    `the rest for near-duplicates; the process's peak is ${peak.toFixed(2)} GiB, features included.`
  );
}

const load = loadavg()[0].toFixed(1);
const big = options.made === "none" ? "" : await large();
if (big !== "") console.error(big);
const found = await emoji();
await writeFile(
  "docs/check-results.md",
  `# Checking: measurements

Written by \`bench/runs/labels.ts\`, with ${options.threads} threads; load average of the machine when it began: ${load}. Peer: cleanlab's
\`find_label_issues\`, ranked by self-confidence, on probabilities of a logistic regression of the same features over 5 folds. Average
precision is that of the list over all flipped labels: what is not in the list is not found.

${found.join("\n")}

${big}
`,
);
process.exit(0);
