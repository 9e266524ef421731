/**
 * How well near-duplicates are found: icons with copies that were encoded again, made smaller, mirrored, cropped or changed in color,
 * searched by `clp-dd check` and by imagededup; and how long the search takes in the whole emoji set. Settings are chosen on the icons
 * of two artists, and measured on those of four others. Writes its part of docs/check-results.md. imagededup is one of bench/peers;
 * without it only the own search is measured.
 *
 *   node .bench/bench/runs/duplicates.js [--originals 1000] [--copies 100] [--threads 2]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openEmoji } from "../../src/data/emoji.ts";
import { givenImages } from "../../src/data/given-images.ts";
import {
  type ComparedPair,
  comparePairs,
  type DuplicateSettings,
  duplicateSettings,
  findDuplicates,
  type SearchedImages,
  samePictures,
} from "../../src/evaluate/find-duplicates.ts";
import { openRunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { formatCount } from "../../src/format.ts";
import { loadEncoder } from "../../src/index.ts";
import { nodeRuntime } from "../../src/onnx-vjp/runtime/node.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { chooseGemm, type Gemm, jsGemm } from "../../src/probe/gemm.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { similarPairs } from "../../src/probe/near-duplicates.ts";
import { ortGemm } from "../../src/probe/ort-gemm.ts";
import { type FeatureRows, featuresInMemory, sequentialBatches } from "../../src/probe/rows.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";
import { peerPython, runPeer } from "../lib/peer.ts";
import {
  copyKinds,
  keyOfPair,
  type PlantedCopies,
  plantCopies,
  plantedSide,
  scorePairs,
} from "../lib/planted-copies.ts";

const { values: options } = parseArgs({
  options: {
    originals: { type: "string", default: "1000" },
    copies: { type: "string", default: "100" },
    threads: { type: "string", default: "2" },
  },
});
const originals = Number(options.originals);
const copies = Number(options.copies);
const threads = Number(options.threads);
const context = {
  signal: new AbortController().signal,
  progress() {},
  note: (text: string) => console.error(text),
};
/** The default of `clp-dd check`, and lower values of its `--similarity`, by features alone. */
const similarities = [0.95, 0.9, 0.85, 0.8];
/** What settings are chosen among. */
const choices = {
  candidate: [0.4, 0.5, 0.6, 0.7],
  correlation: [0.9, 0.94, 0.96, 0.97, 0.98, 0.99],
  worst: [0.1, 0.2, 0.3, 0.4, 0.5, 0.8, Number.POSITIVE_INFINITY],
  similarity: [0.95, 0.97, 0.99],
} as const;

const percent = (share: number): string => (Number.isNaN(share) ? "–" : (100 * share).toFixed(0));
const rowsOf = (pairs: readonly { first: number; second: number }[]) =>
  pairs.map(({ first, second }) => [first, second] as const);

/** Copies with their features, ready to be searched. */
interface Task extends PlantedCopies {
  readonly features: Float32Array;
  readonly images: SearchedImages;
}

async function taskOf(split: "train" | "test", folder: string): Promise<Task> {
  const planted = await plantCopies((await openEmoji()).images(split), folder, originals, copies);
  const paths = planted.names.map((name) => join(folder, name));
  const encoder = await loadEncoder("efficientnet-lite0", {
    size: plantedSide,
    resize: plantedSide,
    threads,
  });
  const features = new Float32Array((await encoder.encode(paths)).data);
  await encoder.release();
  const rows = featuresInMemory(features, new Int32Array(paths.length));
  const [map] = (await fitFeatureMaps(["standardize-l2"], rows)) as [FeatureMap];
  const items = givenImages(paths).images("test");
  return { ...planted, features, images: { sources: [rows], map, itemOf: (row) => items.at(row) } };
}

/** All candidates of a task, at the least similarity that is tried, with their pictures compared. */
async function allCompared({ images }: Task, gemm: Gemm): Promise<ComparedPair[]> {
  const { pairs } = await similarPairs(images.sources, images.map, choices.candidate[0], gemm);
  return comparePairs(pairs, images.itemOf, context);
}

const found = (compared: readonly ComparedPair[], settings: DuplicateSettings) => [
  ...compared.filter(({ similarity }) => similarity >= settings.similarity),
  ...samePictures(
    compared.filter(({ similarity }) => similarity < settings.similarity),
    settings,
  ),
];

function chosen(task: Task, compared: readonly ComparedPair[]) {
  const scoreOf = (settings: DuplicateSettings) =>
    scorePairs(rowsOf(found(compared, settings)), task.planted);
  const scored = choices.correlation
    .flatMap((correlation) => choices.worst.map((worst) => ({ ...duplicateSettings, correlation, worst })))
    .map((settings) => ({ settings, f1: scoreOf(settings).f1 }));
  const best = scored.reduce((a, b) => (b.f1 > a.f1 ? b : a));
  const cell = (settings: DuplicateSettings) => {
    const { recall, precision } = scoreOf(settings);
    return `${percent(recall)} / ${percent(precision)}`;
  };
  const used = duplicateSettings;
  const named = (worst: number) => (Number.isFinite(worst) ? `≤ ${worst}` : "any");
  const text = `
| correlation of pictures | ${choices.worst.map((worst) => `largest difference ${named(worst)}`).join(" | ")} |
|---|${choices.worst.map(() => "--:|").join("")}
${choices.correlation
  .map(
    (correlation) =>
      `| ≥ ${correlation} | ${choices.worst.map((worst) => cell({ ...used, correlation, worst })).join(" | ")} |`,
  )
  .join("\n")}

Correlation and difference in use are within a point of the highest F1 score. A lower cosine of candidates finds more and takes longer. Recall / precision by the
cosine of candidates: ${choices.candidate.map((candidate) => `${candidate}: ${cell({ ...used, candidate })}`).join("; ")}; by
\`--similarity\`: ${choices.similarity.map((similarity) => `${similarity}: ${cell({ ...used, similarity })}`).join("; ")}. In use: cosine of candidates
${used.candidate}, correlation ${used.correlation}, difference ${used.worst}, \`--similarity\` ${used.similarity}.`;
  return { best, used: scoreOf(used).f1, text };
}

/** Pairs of rows with a cosine of at least `least`, counted by comparing all with all. */
async function countSimilar(sources: readonly FeatureRows[], map: FeatureMap, least: number, gemm: Gemm) {
  const d = sources[0]!.featureSize;
  const all = sources.reduce((sum, { count }) => sum + count, 0);
  const Z = matrix(all, d);
  let at = 0;
  for (const source of sources) {
    for await (const { features, labels } of sequentialBatches(source)) {
      Z.data.set(map.apply(features, labels.length).values.data, at);
      at += labels.length * d;
    }
  }
  let number = 0;
  const block = 1024;
  for (let start = 0; start < all; start += block) {
    const rows = Math.min(block, all - start);
    const part: Matrix = matrix(rows, d, Z.data.subarray(start * d, (start + rows) * d));
    const { data } = await gemm.multiply(part, Z, { transB: true });
    for (let i = 0; i < rows; i++) {
      for (let j = start + i + 1; j < all; j++) if (data[i * all + j]! >= least) number++;
    }
  }
  return number;
}

/** The search in the whole emoji set, as a check does it. */
async function wholeSet(gemm: Gemm): Promise<string> {
  const place = await openRunContext(
    {
      ...{ data: "emoji", encoder: "efficientnet-lite0", size: plantedSide, resize: plantedSide, threads },
      ...{ cacheFolder: userCache(), maxBad: 0 },
    },
    context,
  );
  const { source, train, test } = place;
  const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
  const sources = [train, test!];
  const itemOf = (row: number) =>
    row < train.count ? source.images("train").at(row) : source.images("test").at(row - train.count);
  const seconds = async <T>(work: () => Promise<T>): Promise<[T, string]> => {
    const began = performance.now();
    const result = await work();
    return [result, ((performance.now() - began) / 1000).toFixed(1)];
  };
  const [byFeatures, featureSeconds] = await seconds(() =>
    similarPairs(sources, map, duplicateSettings.similarity, gemm),
  );
  const [candidates, candidateSeconds] = await seconds(() =>
    similarPairs(sources, map, duplicateSettings.candidate, gemm),
  );
  let pictures = 0;
  const counting = {
    ...context,
    progress: ({ total }: { total: number }) => {
      pictures = total;
    },
  };
  const [all, allSeconds] = await seconds(() => findDuplicates({ sources, map, itemOf }, gemm, counting));
  const exact = await countSimilar(sources, map, duplicateSettings.candidate, gemm);
  const pairs = all.filter(({ by }) => by === "picture");
  const leaks = pairs.filter(({ first, second }) => first < train.count !== second < train.count);
  await place.release();
  return `The whole emoji set, ${formatCount(train.count)} + ${formatCount(test!.count)} icons: ${featureSeconds} s to find the ${formatCount(byFeatures.pairs.length)} pairs with a
cosine of at least ${duplicateSettings.similarity}; ${allSeconds} s for the whole search, of which ${candidateSeconds} s for the candidates and the rest for the pictures of
${formatCount(pictures)} icons, which find ${formatCount(pairs.length)} more pairs (${formatCount(leaks.length)} across train and test). Of ${formatCount(exact)} pairs with a cosine of at least
${duplicateSettings.candidate}, counted by comparing all with all, ${percent(candidates.pairs.length / exact)} % are among the candidates.`;
}

const folder = await mkdtemp(join(tmpdir(), "clp-dd-duplicates-"));
const ort = ortGemm(nodeRuntime({ threads }));
const gemm = chooseGemm(jsGemm, ort);

const choosing = await taskOf("test", join(folder, "choosing"));
const { best, used, text: choiceTable } = chosen(choosing, await allCompared(choosing, gemm));
if (best.f1 > used + 0.01) {
  console.error("The settings in src/evaluate/find-duplicates.ts are worse than these:", best.settings);
}

const task = await taskOf("train", join(folder, "pictures"));
type Found = { readonly pairs: readonly (readonly [number, number])[]; readonly seconds: number };
const line = (name: string, { pairs, seconds }: Found): string => {
  const { recall, precision, byKind } = scorePairs(pairs, task.planted);
  const cells = [recall, precision, ...byKind].map(percent);
  return `| ${name} | ${cells.join(" | ")} | ${seconds.toFixed(2)} s |`;
};
const timed = async (work: () => Promise<readonly { first: number; second: number }[]>): Promise<Found> => {
  const began = performance.now();
  const pairs = rowsOf(await work());
  return { pairs, seconds: (performance.now() - began) / 1000 };
};

const { sources, map } = task.images;
const lines = [line("check (default)", await timed(() => findDuplicates(task.images, gemm, context)))];
for (const similarity of similarities) {
  const byFeatures = async () => (await similarPairs(sources, map, similarity, gemm)).pairs;
  lines.push(line(`check, by features alone: cosine ≥ ${similarity}`, await timed(byFeatures)));
}
const candidates = (await similarPairs(sources, map, duplicateSettings.candidate, gemm)).pairs;
const reached = candidates.filter(({ first, second }) => task.planted.has(keyOfPair(first, second))).length;

let version = "";
if (peerPython() !== undefined) {
  await writeFile(join(folder, "names.json"), JSON.stringify(task.names));
  await writeFile(join(folder, "features.f32"), task.features);
  const answer = JSON.parse(
    runPeer("duplicates.py", [
      task.folder,
      join(folder, "names.json"),
      join(folder, "features.f32"),
      String(task.features.length / task.names.length),
    ])
      .trim()
      .split("\n")
      .at(-1)!,
  ) as { version: string; methods: Record<string, Found> };
  version = answer.version;
  for (const [name, theirs] of Object.entries(answer.methods)) {
    const label =
      name === "cnn" ? "imagededup, cosine of the same raw features ≥ 0.9" : `imagededup, ${name}`;
    lines.push(line(label, theirs));
  }
}
await rm(folder, { recursive: true, force: true });
const whole = await wholeSet(gemm);
await ort.release();
const kinds = Object.keys(copyKinds);
writeMeasuredPart(
  "docs/check-results.md",
  "bench/runs/duplicates.ts",
  `
${originals} icons of four artists at ${plantedSide} px and ${copies} copies of each kind, in percent: recall of all planted pairs, precision of all pairs
found, recall by kind. Icons that are alike by themselves (clock faces, families) count as wrong for every method. Times are without encoding
images; that of the default includes reading the pictures, as that of the hashes does.${version ? ` imagededup ${version} with the thresholds that are its defaults.` : ""}

| search | recall | precision | ${kinds.join(" | ")} | time |
|---|--:|--:|${kinds.map(() => "--:|").join("")}--:|
${lines.join("\n")}

Of the planted pairs, ${percent(reached / task.planted.size)} % are among the ${formatCount(candidates.length)} candidates whose pictures are compared.

${whole}

Settings were chosen on other icons: as many of two other artists, with copies of the same kinds. Recall / precision there, by the least correlation
of two pictures and the largest difference of a block of 4 × 4 of 32 × 32 pixels (mean square, pictures of variance 1):
${choiceTable}

${measuredBy("bench/runs/duplicates.ts")}
`,
);
process.exit(0);
