import { subsetOf } from "../probe/class-rows.ts";
import {
  type ClosedFormProbe,
  evaluateClosedForm,
  evaluateClosedForms,
  fitClosedForm,
} from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFullData } from "../probe/full-data.ts";
import type { Gemm } from "../probe/gemm.ts";
import { centeredOneHot } from "../probe/labels.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { type Metrics, MetricsAccumulator, meanStd } from "../probe/metrics.ts";
import { type FeatureRows, type LabeledFeatures, sequentialBatches } from "../probe/rows.ts";
import { splitOf } from "../probe/split.ts";
import { headScores, type LinearHead, type TunedHead, tunedLearningRates } from "../probe/trained-head.ts";
import { type HeadProtocol, inMemory, ofEverySeed, trainedHeads } from "./train-heads.ts";
import type { TrainingFeatures } from "./training-features.ts";

/**
 * The probes of a fair evaluation. `closed-form`: ridge with the recorded feature map and λ. `head`: LGM's
 * gradient-trained head on raw features (src/probe/trained-head.ts). `tuned-head`: the same with its learning rate
 * chosen among DD-Ranking's five.
 */
export const probeNames = ["closed-form", "head", "tuned-head"] as const;
export type ProbeName = (typeof probeNames)[number];

/** Seeds of an evaluation. */
export const evaluationSeeds: readonly number[] = [0, 1, 2, 3, 4];

/** A mean over seeds. */
export interface Spread {
  readonly mean: number;
  /** Standard deviation (n − 1); 0 of a single number. */
  readonly std: number;
  readonly values: readonly number[];
}

/** What one probe, trained on one set, does on the test images; accuracies are fractions. */
export interface ProbeResult {
  readonly probe: ProbeName;
  /** Whether it was trained on flipped and cropped draws of the images. */
  readonly augmented: boolean;
  /** A closed form on images as they are has one value: nothing about it is random. */
  readonly seeds: readonly number[];
  readonly top1: Spread;
  readonly top5?: Spread;
  readonly worstGroup?: Spread;
  /** Mean over seeds; null for a class without a test image. */
  readonly perClass: readonly (number | null)[];
  /** confusion[truth][prediction]: numbers of test images, summed over seeds. */
  readonly confusion: readonly (readonly number[])[];
  /** Of the head, at the start. */
  readonly learningRate?: number;
  /** Of the closed form. */
  readonly lambda?: number;
}

/** A set of images to train probes on. */
export interface TrainingSet {
  training(seed: number, augmented: boolean): Promise<TrainingFeatures>;
  /** Labels of the closed form, m × C; one-hot minus 1/C where absent. Heads are trained on hard labels. */
  readonly softLabels?: Matrix;
  /** The probe that was recorded, used for the closed form without augmentation. */
  readonly recorded?: ClosedFormProbe;
  /** Whether each seed has other images (the random baseline). */
  readonly changesWithSeed?: boolean;
}

/** What all sets are evaluated with alike. */
export interface Protocol extends HeadProtocol {
  readonly test: FeatureRows;
  /** Real training features that learning rates are chosen on; the test images are never looked at for that. */
  readonly validation: LabeledFeatures;
  readonly probes: readonly ProbeName[];
  readonly learningRates?: readonly number[];
}

/** Evaluates every probe of the protocol on a set, with or without evaluation augmentation. */
export async function evaluateSet(
  set: TrainingSet,
  protocol: Protocol,
  augmented: boolean,
  closedForm: { readonly map: FeatureMap; readonly lambda: number },
): Promise<ProbeResult[]> {
  const { probes, seeds } = protocol;
  const results: ProbeResult[] = [];
  const heads = probes.some((name) => name !== "closed-form")
    ? headsOfSeeds(set, augmented, protocol)
    : undefined;
  // Other processes train them meanwhile; what goes wrong is thrown below.
  heads?.catch(() => {});
  if (probes.includes("closed-form")) {
    const used = augmented || set.changesWithSeed ? seeds : seeds.slice(0, 1);
    const solved: ClosedFormProbe[] = [];
    for (const seed of used) {
      protocol.signal?.throwIfAborted();
      solved.push(
        !augmented && set.recorded
          ? set.recorded
          : await closedFormOf(set, seed, augmented, closedForm, protocol),
      );
    }
    const metrics = await evaluateClosedForms(solved, protocol.test, protocol.gemm);
    const { lambda } = set.recorded ?? closedForm;
    results.push({ ...summary("closed-form", augmented, used, metrics), lambda });
  }
  if (heads) {
    const tried = await heads;
    const rates = ratesOf(await set.training(seeds[0], augmented), protocol);
    results.push(...(await headResults(tried, rates, bestRate(tried, rates.tuned), augmented, protocol)));
  }
  return results;
}

/** The heads of every seed, in the order of the seeds. */
async function headsOfSeeds(
  set: TrainingSet,
  augmented: boolean,
  protocol: Protocol,
): Promise<(readonly TunedHead[])[]> {
  return ofEverySeed(protocol, async (seed) => {
    const training = await set.training(seed, augmented);
    return trainedHeads(training, "own", seed, wanted(ratesOf(training, protocol), protocol), protocol);
  });
}

/**
 * The same probes on all training features, read in batches and never augmented. The closed form chooses its λ,
 * and the tuned head its learning rate (once, from the first seed), on a held-out tenth; both are then fitted
 * on all.
 */
export async function evaluateFullData(
  train: FeatureRows,
  protocol: Omit<Protocol, "validation">,
  map: FeatureMap,
): Promise<ProbeResult[]> {
  const { probes, seeds, classes, gemm, test } = protocol;
  const results: ProbeResult[] = [];
  if (probes.includes("closed-form")) {
    const full = await fitFullData(train, classes, map, gemm);
    const metrics = await evaluateClosedForm(full, test, gemm);
    results.push({ ...summary("closed-form", false, seeds.slice(0, 1), [metrics]), lambda: full.lambda });
    protocol.onSeed?.("closed form");
  }
  if (probes.every((name) => name === "closed-form")) return results;
  const all = ratesOf(train, protocol);
  let best = all.tuned[0];
  if (probes.includes("tuned-head")) {
    const split = splitOf(train.labels, 10, learningRateSplit);
    const validation = await subsetOf(train, split.held);
    const part = await inMemory(await subsetOf(train, split.fit, 0), protocol);
    const rates = wanted(ratesOf(part, protocol), { probes: ["tuned-head"] });
    const tried = await trainedHeads(part, validation, seeds[0], rates, protocol);
    best = bestRate([tried], all.tuned);
    protocol.onSeed?.("learning rate");
  }
  const rates = { own: all.own, tuned: [best] };
  const whole = await inMemory(train, protocol);
  const tried = await ofEverySeed(protocol, (seed) =>
    trainedHeads(whole, undefined, seed, wanted(rates, protocol), protocol),
  );
  results.push(...(await headResults(tried, rates, best, false, protocol)));
  return results;
}

/** Most real features that learning rates are chosen on. */
const validationRows = 5000;
const learningRateSplit = "learning rate validation";

/** A seeded sample of real training features, held in memory, on which heads of small sets choose a rate. */
export async function validationOf(train: FeatureRows): Promise<LabeledFeatures> {
  const share = Math.max(1, Math.ceil(train.count / validationRows));
  return subsetOf(
    train,
    share === 1 ? everyRow(train.count) : splitOf(train.labels, share, learningRateSplit).held,
  );
}

const everyRow = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

async function closedFormOf(
  set: TrainingSet,
  seed: number,
  augmented: boolean,
  { map, lambda }: { readonly map: FeatureMap; readonly lambda: number },
  { classes, gemm }: Protocol,
): Promise<ClosedFormProbe> {
  const training = await set.training(seed, augmented);
  const { features, draws } = await training.every();
  const labels = set.softLabels ?? centeredOneHot(training.labels, classes);
  const tiled = matrix(draws * labels.rows, classes);
  for (let draw = 0; draw < draws; draw++) tiled.data.set(labels.data, draw * labels.data.length);
  return fitClosedForm(features, tiled, map, lambda, gemm);
}

interface Rates {
  /** LGM's own rate, 1e-3 · batch / 256. */
  readonly own: number;
  readonly tuned: readonly number[];
}

function ratesOf({ count }: { readonly count: number }, protocol: Pick<Protocol, "learningRates">): Rates {
  return {
    own: (1e-3 * Math.min(256, count)) / 256,
    tuned: [...(protocol.learningRates ?? tunedLearningRates)].sort((a, b) => a - b),
  };
}

const wanted = ({ own, tuned }: Rates, { probes }: Pick<Protocol, "probes">): number[] => [
  ...new Set([...(probes.includes("head") ? [own] : []), ...(probes.includes("tuned-head") ? tuned : [])]),
];

/** The rate of the best mean validation accuracy over seeds; of equal ones the lowest. */
function bestRate(tried: readonly (readonly TunedHead[])[], rates: readonly number[]): number {
  const accuracyOf = (rate: number) =>
    tried.reduce((sum, heads) => sum + (heads.find((h) => h.learningRate === rate)?.accuracy ?? 0), 0);
  return rates.reduce((best, rate) => (accuracyOf(rate) > accuracyOf(best) ? rate : best), rates[0]);
}

async function headResults(
  tried: readonly (readonly TunedHead[])[],
  { own }: Rates,
  best: number,
  augmented: boolean,
  protocol: Omit<Protocol, "validation">,
): Promise<ProbeResult[]> {
  const results: ProbeResult[] = [];
  for (const [probe, rate] of [["head", own] as const, ["tuned-head", best] as const]) {
    if (!protocol.probes.includes(probe)) continue;
    const heads = tried.map((of) => of.find((h) => h.learningRate === rate)!.head);
    const metrics = await headMetrics(heads, protocol.test, protocol.classes, protocol.gemm);
    results.push({ ...summary(probe, augmented, protocol.seeds, metrics), learningRate: rate });
  }
  return results;
}

/** Metrics of several heads, the test features streamed once. */
export async function headMetrics(
  heads: readonly LinearHead[],
  test: FeatureRows,
  classes: number,
  gemm: Gemm,
): Promise<Metrics[]> {
  const metrics = heads.map(() => new MetricsAccumulator(classes));
  const { groups } = test;
  for await (const { features, labels, indices } of sequentialBatches(test)) {
    const Z = matrix(labels.length, test.featureSize, new Float64Array(features));
    const own = groups && Int32Array.from(indices, (i) => groups[i]);
    for (const [k, head] of heads.entries()) {
      metrics[k].add((await headScores(head, Z, gemm)).data, labels, own);
    }
  }
  return metrics.map((m) => m.result());
}

/** Metrics of several seeds as one result. */
function summary(
  probe: ProbeName,
  augmented: boolean,
  seeds: readonly number[],
  metrics: readonly Metrics[],
): ProbeResult {
  const spread = (of: (m: Metrics) => number): Spread => {
    const values = metrics.map(of);
    return { ...meanStd(values), values };
  };
  const [first] = metrics as [Metrics, ...Metrics[]];
  return {
    probe,
    augmented,
    seeds: [...seeds],
    top1: spread((m) => m.top1),
    ...(first.top5 === undefined ? {} : { top5: spread((m) => m.top5!) }),
    ...(first.worstGroup === undefined ? {} : { worstGroup: spread((m) => m.worstGroup!) }),
    perClass: first.perClass.map((accuracy, c) =>
      Number.isNaN(accuracy) ? null : meanStd(metrics.map((m) => m.perClass[c])).mean,
    ),
    confusion: first.confusion.map((row, truth) =>
      row.map((_, predicted) => metrics.reduce((sum, m) => sum + m.confusion[truth][predicted]!, 0)),
    ),
  };
}

/** DD-Ranking's figures (arXiv 2505.13300) of a result beside its references, in fractions of 1. */
export interface Ranking {
  /** acc(full data) − acc(synthetic): what distilling lost. */
  readonly hlr?: number;
  /** acc(synthetic) − acc(random images): what it won over choosing blindly. */
  readonly ior?: number;
}

/** HLR and IOR under the same probe; the full data are never augmented, random images as the set is. */
export function rankingOf(
  result: ProbeResult,
  full: readonly ProbeResult[],
  random: readonly ProbeResult[],
): Ranking {
  const same = (other: ProbeResult) => other.probe === result.probe;
  const whole = full.find(same);
  const blind = random.find((other) => same(other) && other.augmented === result.augmented);
  return {
    ...(whole ? { hlr: whole.top1.mean - result.top1.mean } : {}),
    ...(blind ? { ior: result.top1.mean - blind.top1.mean } : {}),
  };
}
