/**
 * How well images of none of the classes are recognized, by the score of src/probe/novelty.ts, its two parts, and the one that was
 * used before, which is the second part. The weight of the second part is judged on training icons alone: a group is left out of the classes,
 * and the icons of one artist are to be told apart from it, and from handwritten digits. Then the score is measured on what no choice has seen. Writes its part of docs/classify.md.
 *
 *   node .bench/bench/runs/none-of-these.js [--photos FOLDER] [--digits FOLDER] [--set FOLDER] [--size 128] [--threads 2]
 *
 * `--photos`: photographs, of which parts are taken (measured: the 15 of Debian's package lomiri-wallpapers-16.04). `--digits`: where
 * scikit-learn has digits.csv.gz (sklearn/datasets/data). `--set`: a distilled emoji set, whose probe is measured, too.
 */
import { parseArgs } from "node:util";
import { readArtifact } from "../../src/artifact/read-artifact.ts";
import { emojiIconsOfPackages } from "../../src/data/emoji-icons.ts";
import { openRunContext } from "../../src/features/run-context.ts";
import { userCache } from "../../src/files/cache-location.ts";
import { encoderInput } from "../../src/images/input.ts";
import type { PixelImage } from "../../src/images/pixels.ts";
import { calibrate } from "../../src/probe/calibration.ts";
import type { ClosedFormProbe } from "../../src/probe/closed-form.ts";
import type { FeatureMap } from "../../src/probe/feature-map.ts";
import { fitFeatureMaps } from "../../src/probe/fit-feature-maps.ts";
import { fitFullData } from "../../src/probe/full-data.ts";
import { accumulated } from "../../src/probe/leave-one-out.ts";
import { type Matrix, matrix } from "../../src/probe/matrix.ts";
import { noveltyOf, residualsOf, scoreWeight } from "../../src/probe/novelty.ts";
import { bestOfRows } from "../../src/probe/probabilities.ts";
import { type Probe, probeOf } from "../../src/probe/probe.ts";
import { type FeatureRows, featuresInMemory } from "../../src/probe/rows.ts";
import { measuredBy, writeMeasuredPart } from "../lib/measured-part.ts";
import { digits, flags, photoParts, pixelNoise, smoothNoise } from "../lib/outside-pictures.ts";

const { values: options } = parseArgs({
  options: {
    photos: { type: "string" },
    digits: { type: "string" },
    set: { type: "string" },
    size: { type: "string", default: "128" },
    threads: { type: "string", default: "2" },
  },
});
const size = Number(options.size);
const context = { signal: new AbortController().signal, progress() {}, note() {} };
const params = {
  ...{ data: "emoji", encoder: "efficientnet-lite0", size, resize: size, threads: Number(options.threads) },
  ...{ cacheFolder: userCache(), maxBad: 0 },
};
// Decoding happens in processes that do not keep this one alive.
const alive = setInterval(() => {}, 1000);
const place = await openRunContext(params, context);
const { gemm, source } = place;
const classes = source.classes.length;
/** People's faces, as emoji. */
const people = [23, 24, 25, 26];

/** Icons in memory, with whose they are and what they show. */
interface Icons {
  readonly features: Float32Array;
  readonly labels: Int32Array;
  readonly artists: readonly string[];
  readonly subgroups: readonly number[];
}

async function iconsOf(split: "train" | "test"): Promise<Icons> {
  const rows = split === "train" ? place.train : place.test!;
  const features = new Float32Array(rows.count * rows.featureSize);
  await rows.rows(
    Int32Array.from({ length: rows.count }, (_, i) => i),
    features,
  );
  const list = source.images(split);
  const ids = Array.from({ length: rows.count }, (_, i) => list.at(rows.imageIndices?.[i] ?? i).id);
  return {
    ...{ features, labels: rows.labels, artists: ids.map((id) => id.split("/")[0]!) },
    subgroups: ids.map((id) => subgroups.get(id)!),
  };
}

function some({ features, labels }: Icons, isWanted: (row: number) => boolean): FeatureRows {
  const d = features.length / labels.length;
  const rows = Array.from(labels.keys()).filter(isWanted);
  const out = new Float32Array(rows.length * d);
  for (const [i, row] of rows.entries()) out.set(features.subarray(row * d, (row + 1) * d), i * d);
  return featuresInMemory(
    out,
    Int32Array.from(rows, (row) => labels[row]!),
  );
}

async function matrixOf(rows: FeatureRows): Promise<Matrix> {
  const features = new Float32Array(rows.count * rows.featureSize);
  await rows.rows(
    Int32Array.from({ length: rows.count }, (_, i) => i),
    features,
  );
  return matrix(rows.count, rows.featureSize, new Float64Array(features));
}

async function fullProbe(train: FeatureRows): Promise<Probe> {
  const [map] = (await fitFeatureMaps(["standardize-l2"], train)) as [FeatureMap];
  return calibrated(await fitFullData(train, classes, map, gemm), train, "all");
}

async function calibrated(
  probe: ClosedFormProbe,
  train: FeatureRows,
  solvedOn: "all" | Int32Array,
): Promise<Probe> {
  const calibration = await calibrate(probe, train, solvedOn, gemm);
  return probeOf(probe, calibration, calibration.novelty);
}

/** The scores of rows, the higher the newer. */
const scores = {
  sum: (probe: Probe, X: Matrix) =>
    noveltyOf(probe.novelty!.levels, residualsOf(probe.novelty!, X), bestOfRows(probe.scores(X))),
  "residual alone": (probe: Probe, X: Matrix) => residualsOf(probe.novelty!, X),
  "best score alone": (probe: Probe, X: Matrix) => bestOfRows(probe.scores(X)).map((best) => -best),
} as const;
const scoreNames = Object.keys(scores) as (keyof typeof scores)[];

/** Share of pairs of a row inside and one outside of which the latter has the higher score; ties count half. */
function auroc(inside: Float64Array, outside: Float64Array): number {
  const all = [...Array.from(inside, (x) => [x, 0]), ...Array.from(outside, (x) => [x, 1])] as [
    number,
    number,
  ][];
  all.sort((a, b) => a[0] - b[0]);
  let ranks = 0;
  for (let start = 0; start < all.length; ) {
    let end = start;
    while (end < all.length && all[end]![0] === all[start]![0]) end++;
    for (let i = start; i < end; i++) if (all[i]![1] === 1) ranks += (start + end + 1) / 2;
    start = end;
  }
  const n = outside.length;
  return (ranks - (n * (n + 1)) / 2) / (n * inside.length);
}

const share = (probe: Probe, X: Matrix): number => probe.unknown(X).filter(Boolean).length / X.rows;
const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

async function encoded(images: readonly PixelImage[]): Promise<Matrix> {
  const { encoder } = place;
  const out = matrix(images.length, encoder.featureSize);
  for (let start = 0; start < images.length; start += 32) {
    const few = images.slice(start, start + 32);
    const pixels = await encoderInput(few, encoder.preprocessing);
    out.data.set(await encoder.features(pixels, few.length), start * encoder.featureSize);
  }
  return out;
}

const subgroups = new Map(
  (await emojiIconsOfPackages()).icons.map(({ set, name, emoji }) => [`${set.id}/${name}`, emoji.subgroup]),
);
const [train, test] = [await iconsOf("train"), await iconsOf("test")];

/** Weights of the best score beside 1 of the residual. */
const weights = [0, 0.5, 1, 2, Number.POSITIVE_INFINITY];

/** Each group left out once; the icons of one artist are told apart from it, and from digits. AUROC by weight. */
async function judged(): Promise<string[]> {
  const artists = [...new Set(train.artists)];
  const numerals = options.digits === undefined ? undefined : await digits(options.digits, 200);
  const far = numerals && (await encoded(numerals));
  const found = weights.map(() => ({ group: [] as number[], far: [] as number[] }));
  for (let group = 0; group < classes; group++) {
    const artist = artists[group % artists.length]!;
    const fit = some(train, (row) => train.artists[row] !== artist && train.labels[row] !== group);
    const [map] = (await fitFeatureMaps(["standardize-l2"], fit)) as [FeatureMap];
    const [solved] = await (await accumulated(fit, classes, map, gemm)).solve([1]);
    const probe = await calibrated({ weight: solved!.weight, map, lambda: 1 }, fit, "all");
    const [inside, outside] = [
      await matrixOf(some(train, (row) => train.artists[row] === artist && train.labels[row] !== group)),
      await matrixOf(some(train, (row) => train.artists[row] === artist && train.labels[row] === group)),
    ];
    for (const [k, weight] of weights.entries()) {
      const own = weighed(probe, inside, weight);
      found[k]!.group.push(auroc(own, weighed(probe, outside, weight)));
      if (far) found[k]!.far.push(auroc(own, weighed(probe, far, weight)));
    }
    console.error(
      source.classes[group],
      artist,
      found.map((one) => one.group.at(-1)!.toFixed(3)),
    );
  }
  return weights.map((weight, k) => {
    const one = found[k]!;
    const digitsText = far ? ` and ${mean(one.far).toFixed(3)}` : "";
    return `${weight === Number.POSITIVE_INFINITY ? "alone" : weight}: ${mean(one.group).toFixed(3)}${digitsText}`;
  });
}

/** The score with another weight of the best score; an infinite one leaves that alone. */
function weighed(probe: Probe, X: Matrix, weight: number): Float64Array {
  const residuals = residualsOf(probe.novelty!, X);
  const best = bestOfRows(probe.scores(X));
  const { residualMean, residualDeviation, bestMean, bestDeviation } = probe.novelty!.levels;
  return best.map((score, i) => {
    const low = (bestMean - score) / bestDeviation;
    return weight === Number.POSITIVE_INFINITY
      ? low
      : (residuals[i]! - residualMean) / residualDeviation + weight * low;
  });
}

const rows: string[] = [];
function measured(title: string, probe: Probe, inside: Matrix, outside: Matrix): void {
  const cells = scoreNames.map((name) =>
    auroc(scores[name](probe, inside), scores[name](probe, outside)).toFixed(3),
  );
  rows.push(`| ${title} | ${outside.rows} | ${cells.join(" | ")} | ${percent(share(probe, outside))} |`);
  console.error(rows.at(-1));
}

const flagPlace = await openRunContext(params, context, { source: await flags() });
const outsiders: [string, Matrix][] = [
  ["flags", await matrixOf(flagPlace.train)],
  ["noise, each pixel alone", await encoded(pixelNoise(200))],
  ["noise, smooth", await encoded(await smoothNoise(200))],
  ...(options.photos
    ? [["photographs", await encoded(await photoParts(options.photos, 12))] as [string, Matrix]]
    : []),
];
await flagPlace.release();
const inside = await matrixOf(place.test!);
const artifact = options.set === undefined ? undefined : await readArtifact(options.set);
const probes: [string, Probe][] = [["all training images", await fullProbe(place.train)]];
if (artifact) {
  const own = await artifact.probe();
  const images = `${artifact.labels.length} distilled images`;
  probes.push([images, await calibrated(own, place.train, new Int32Array(0))]);
}
const alarms: string[] = [];
for (const [name, probe] of probes) {
  const { calibration } = probe;
  alarms.push(`${name} ${percent(calibration!.falseAlarms)} and ${percent(share(probe, inside))}`);
  for (const [title, X] of outsiders) measured(`${title}; probe of ${name}`, probe, inside, X);
}
const peopleless = await fullProbe(some(train, (row) => !people.includes(train.subgroups[row]!)));
const isPerson = (row: number) => people.includes(test.subgroups[row]!);
measured(
  "people's faces, kept out of the training images; probe of all others",
  peopleless,
  await matrixOf(some(test, (row) => !isPerson(row))),
  await matrixOf(some(test, isPerson)),
);
const choice = await judged();
await place.release();
clearInterval(alive);
writeMeasuredPart(
  "docs/classify.md",
  "bench/runs/none-of-these.ts",
  `
The emoji set at ${size} px, eight groups. AUROC against ${inside.rows} test images, by two other artists than the training images; the last column is the share
above the threshold, which is to be high. Below it are 95 % of the training images; taken for none of the classes are, of training and of
test images: ${alarms.join("; ")}.

| images of none of the classes | images | AUROC: ${scoreNames.join(" | ")} | marked |
|---|--:|${scoreNames.map(() => "--:|").join("")}--:|
${rows.join("\n")}

The weight was judged on training icons alone, each group left out once, and the icons of one artist told apart from it${options.digits ? " and from 200 handwritten digits" : ""};
mean AUROC over the eight groups by the weight of the best score: ${choice.join("; ")}. In use: ${scoreWeight}.${options.photos ? " Photographs: parts of the 15 of Debian's package lomiri-wallpapers-16.04." : ""}

${measuredBy("bench/runs/none-of-these.ts")}
`,
);
process.exit(0);
