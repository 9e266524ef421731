import { chooseGemm, type Gemm, jsGemm } from "../probe/gemm.ts";
import type { LabeledFeatures } from "../probe/rows.ts";
import { type TunedHead, tuneHead } from "../probe/trained-head.ts";
import { type PooledFeatures, plainFeatures, type TrainingFeatures } from "./training-features.ts";

/** What the heads of an evaluation are trained with. */
export interface HeadProtocol {
  readonly classes: number;
  readonly gemm: Gemm;
  readonly seeds: readonly number[];
  /** Epochs of a head, 1,000 in LGM's recipe. */
  readonly epochs: number;
  /** What learning rates are chosen on. */
  readonly validation?: LabeledFeatures;
  /** Where heads are trained side by side; in this process, one after the other, where it is absent. */
  readonly trainElsewhere?: TrainElsewhere;
  readonly signal?: AbortSignal;
  readonly onSeed?: (what: string) => void;
}

/** How heads of one seed are trained, as plain data. */
export interface HeadTraining {
  readonly classes: number;
  readonly epochs: number;
  readonly seed: number;
  readonly learningRates: readonly number[];
}

/** Trains heads elsewhere, from plain data. @param validation the protocol's own, others, or none */
export type TrainElsewhere = (
  training: PooledFeatures,
  validation: "own" | PooledFeatures | undefined,
  given: HeadTraining,
) => Promise<readonly TunedHead[]>;

/**
 * Products of fewer multiply-adds stay in JavaScript while a head is trained: a step of eight images takes 1.1 ms
 * there and 1.5 ms through ONNX Runtime (2 cores), far more when other work keeps its threads waiting.
 */
const fewProducts = 1_000_000;

/** Bytes of real features that other processes are sent to train heads on; more are read from the disk by this one. */
const mostPooled = 2 ** 28;

/** Heads of several rates, trained side by side; without `validation` their accuracies are not measured. */
export async function trainRates(
  training: LabeledFeatures,
  validation: LabeledFeatures | undefined,
  given: HeadTraining,
  gemm: Gemm,
  signal?: AbortSignal,
): Promise<readonly TunedHead[]> {
  const none: LabeledFeatures = { ...training, count: 0, labels: new Int32Array(0) };
  const { tried } = await tuneHead(training, validation ?? none, {
    ...given,
    gemm: chooseGemm(jsGemm, gemm, fewProducts),
    ...(signal ? { signal } : {}),
  });
  return tried;
}

/**
 * The same where the protocol has them trained.
 * @param validation "own" for that of the protocol
 */
export async function trainedHeads(
  training: LabeledFeatures & Partial<TrainingFeatures>,
  validation: "own" | LabeledFeatures | undefined,
  seed: number,
  learningRates: readonly number[],
  protocol: HeadProtocol,
): Promise<readonly TunedHead[]> {
  const { classes, epochs, gemm, signal, trainElsewhere } = protocol;
  const given = { classes, epochs, seed, learningRates };
  signal?.throwIfAborted();
  if (trainElsewhere !== undefined && training.pooled !== undefined) {
    const used = typeof validation === "object" ? await pooled(validation) : validation;
    return trainElsewhere(await training.pooled(), used, given);
  }
  return trainRates(training, validation === "own" ? protocol.validation : validation, given, gemm, signal);
}

/** What `train` gives for each seed, in the order of the seeds: at once where other processes train heads. */
export async function ofEverySeed<T>(
  { seeds, trainElsewhere, onSeed }: HeadProtocol,
  train: (seed: number) => Promise<T>,
): Promise<T[]> {
  const noted = async (seed: number) => {
    const trained = await train(seed);
    onSeed?.(`heads, seed ${seed}`);
    return trained;
  };
  if (trainElsewhere !== undefined) return Promise.all(seeds.map(noted));
  const done: T[] = [];
  for (const seed of seeds) done.push(await noted(seed));
  return done;
}

/** Features that other processes may be sent, where some train heads and it is not too much for them. */
export async function inMemory(
  rows: LabeledFeatures,
  { trainElsewhere }: HeadProtocol,
): Promise<LabeledFeatures & Partial<TrainingFeatures>> {
  if (trainElsewhere === undefined || 4 * rows.count * rows.featureSize > mostPooled) return rows;
  const { features, labels } = await pooled(rows);
  return plainFeatures(features, labels);
}

/** All rows as plain data. */
export async function pooled(rows: LabeledFeatures): Promise<PooledFeatures> {
  const features = new Float32Array(rows.count * rows.featureSize);
  await rows.rows(
    Int32Array.from({ length: rows.count }, (_, i) => i),
    features,
  );
  return { features, labels: rows.labels, draws: 1, seed: 0 };
}
