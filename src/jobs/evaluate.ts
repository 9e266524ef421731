import { resolve } from "node:path";
import { encoderDifference } from "../artifact/encoder-of.ts";
import { type Artifact, readArtifact } from "../artifact/read.ts";
import type { JobContext } from "../context.ts";
import { hubReach, openDataSet } from "../data/open.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { Pool } from "../encoder/model.ts";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { type EncoderSpec, parseEncoderSpec } from "../encoder/spec.ts";
import { DataError, InterruptedError, UsageError } from "../errors.ts";
import {
  createFeatureAugmenter,
  defaultDraws,
  type FeatureAugmenter,
  plainFeatures,
} from "../evaluate/augmented-features.ts";
import { References } from "../evaluate/encoder-references.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import { type EditedAccuracy, measureEdits } from "../evaluate/measure-edits.ts";
import {
  evaluateSet,
  evaluationSeeds,
  type ProbeResult,
  type Protocol,
  probeNames,
  type TrainingFeatures,
  type TrainingSet,
  validationOf,
} from "../evaluate/protocol.ts";
import { openRunContext, type RunContext } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import { resampleFloat } from "../images/resample-float.ts";
import type { ClosedFormProbe } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { requireSameClasses } from "./baseline.ts";
import type { EvaluateParams } from "./params.ts";

/** An encoder under which artifacts are evaluated. */
interface Column extends EncoderSpec, ModelForm {
  readonly pool?: Pool;
  /** The commit that the artifact was distilled with: a branch may have moved on. */
  readonly revision: string | undefined;
  readonly artifacts: Artifact[];
}

/**
 * The fair evaluation: each artifact under each encoder (the one it was distilled with by default), by the
 * closed-form probe, LGM's gradient-trained head and the head with a tuned learning rate, with and without
 * evaluation augmentation, beside the full data and random images under the same recipes. Under another
 * encoder the exact float pixels are resized to its input and probes are solved anew.
 */
export async function runEvaluation(params: EvaluateParams, context: JobContext): Promise<Evaluation[]> {
  try {
    return await evaluateAll(params, context);
  } catch (error) {
    if (!context.signal.aborted || error instanceof InterruptedError) throw error;
    throw new InterruptedError("Stopped; nothing was written.", { cause: error });
  }
}

/** The same with the names of the data set's classes, for pages that show accuracy by class. */
export async function describedEvaluation(
  params: EvaluateParams,
  context: JobContext,
): Promise<{ readonly results: Evaluation[]; readonly classes: readonly string[] }> {
  const results = await runEvaluation(params, context);
  const { classes } = await openDataSet(params.data, hubReach(params.hub, context));
  return { results, classes };
}

async function evaluateAll(params: EvaluateParams, context: JobContext): Promise<Evaluation[]> {
  const artifacts: Artifact[] = [];
  for (const folder of params.artifacts) artifacts.push(await readArtifact(resolve(folder)));
  // Before the long work.
  const source = await openDataSet(params.data, hubReach(params.hub, context));
  for (const { manifest, folder } of artifacts) requireSameClasses(manifest, source.classes, folder);
  const results = new Map<Artifact, Evaluation[]>();
  const labels: string[] = [];
  for (const column of columnsOf(artifacts, params)) {
    const { artifacts: own, ...spec } = column;
    const resize = resizeOf(own, spec, params);
    const place = await openRunContext({ ...params, ...spec, resize }, context, { source });
    const label = newLabel(place.encoder, labels);
    labels.push(label);
    let augmenter: FeatureAugmenter | undefined;
    try {
      if (place.test === undefined) {
        throw new DataError(
          `${place.source.name} has no test images. Add DIR/test, or give another data set.`,
        );
      }
      if (params.augmentation !== "off")
        augmenter = await createFeatureAugmenter(place.runtime, place.encoder);
      const bench = await benchOf(place, augmenter, params, context);
      for (const artifact of own) {
        const known = results.get(artifact) ?? [];
        results.set(artifact, [...known, await evaluateArtifact(artifact, label, bench)]);
      }
    } finally {
      await augmenter?.release();
      await place.release();
    }
  }
  return artifacts.flatMap((artifact) => results.get(artifact) ?? []);
}

/** Each encoder asked for, or each that an artifact was distilled with, with its artifacts. */
function columnsOf(artifacts: readonly Artifact[], params: EvaluateParams): Column[] {
  if (params.encoders !== undefined && params.encoders.length > 0) {
    return params.encoders.map((text) => {
      const spec = parseEncoderSpec(text);
      const recorded = artifacts.find(({ manifest }) => manifest.encoder.id === spec.encoder)?.manifest;
      const size = spec.size ?? params.size ?? recorded?.imageSize;
      const feature = spec.feature ?? params.feature ?? recorded?.encoder.feature;
      const pool = params.pool ?? recorded?.encoder.askedPool;
      return {
        encoder: spec.encoder,
        ...(size === undefined ? {} : { size }),
        ...(feature === undefined ? {} : { feature }),
        ...(pool === undefined ? {} : { pool }),
        ...givenForm({ ...recorded?.encoder.form, ...givenForm(params) }),
        revision: params.revision ?? recorded?.encoder.revision,
        artifacts: [...artifacts],
      };
    });
  }
  const columns = new Map<string, Column>();
  for (const artifact of artifacts) {
    const { encoder, imageSize } = artifact.manifest;
    const { sha256, feature, pool, preprocessing, form } = encoder;
    const key = JSON.stringify([sha256, feature, pool, preprocessing, form]);
    const known = columns.get(key);
    if (known) known.artifacts.push(artifact);
    else {
      columns.set(key, {
        encoder: encoder.id,
        size: params.size ?? imageSize,
        feature: params.feature ?? encoder.feature,
        pool: params.pool ?? encoder.askedPool,
        ...givenForm({ ...encoder.form, ...givenForm(params) }),
        revision: encoder.revision,
        artifacts: [artifact],
      });
    }
  }
  return [...columns.values()];
}

/**
 * Real images are resized as they were for the artifact that was made with the encoder, at the same size of image;
 * without one, as for all artifacts of that size, where these agree; else as the encoder has it.
 */
function resizeOf(
  artifacts: readonly Artifact[],
  { encoder, size }: EncoderSpec,
  params: EvaluateParams,
): number | undefined {
  if (params.resize !== undefined) return params.resize === "own" ? undefined : params.resize;
  const alike = artifacts
    .map(({ manifest }) => manifest.encoder)
    .filter(({ preprocessing }) => preprocessing.crop[0] === size);
  const own = alike.filter(({ id }) => id === encoder);
  const [resize, ...others] = new Set((own.length > 0 ? own : alike).map((e) => e.preprocessing.resize));
  return typeof resize === "number" && others.length === 0 ? resize : undefined;
}

/** All that the artifacts of a column are evaluated with. */
interface Bench {
  readonly place: RunContext;
  readonly protocol: Protocol;
  readonly augmenter: FeatureAugmenter | undefined;
  readonly augmented: readonly boolean[];
  readonly draws: number | "each epoch";
  readonly references: References | undefined;
  readonly edits: boolean;
}

async function benchOf(
  place: RunContext,
  augmenter: FeatureAugmenter | undefined,
  params: EvaluateParams,
  context: JobContext,
): Promise<Bench> {
  const seeds = params.seeds ?? evaluationSeeds;
  const probes = params.probes ?? probeNames;
  if (seeds.length === 0 || probes.length === 0)
    throw new UsageError("An evaluation needs a seed and a probe.");
  let done = 0;
  const protocol: Protocol = {
    classes: place.source.classes.length,
    test: place.test!,
    validation: await validationOf(place.train),
    gemm: place.gemm,
    probes,
    seeds,
    epochs: params.epochs ?? 1000,
    signal: context.signal,
    onSeed: (detail) =>
      context.progress({ stage: "Evaluating", done: ++done, total: 0, unit: "probes", detail }),
  };
  const augmented = { off: [false], only: [true], both: [false, true] }[params.augmentation ?? "both"];
  const draws = params.draws ?? defaultDraws;
  return {
    place,
    protocol,
    augmenter,
    augmented,
    draws,
    edits: params.edits ?? true,
    references:
      params.references === false
        ? undefined
        : new References(place, protocol, augmenter, draws, params.fullEpochs, params.fullSeeds),
  };
}

async function evaluateArtifact(artifact: Artifact, label: string, bench: Bench): Promise<Evaluation> {
  const { place, protocol, references, augmented } = bench;
  const { manifest } = artifact;
  const { encoder, train } = place;
  const { config, kind } = manifest;
  const recorded = await artifact.probe();
  // The same encoder on images prepared in the same way: the recorded probe holds.
  const same =
    encoderDifference(encoder, manifest.encoder) === undefined &&
    encoder.precision === manifest.encoder.precision;
  const [fitted] = same ? [recorded.map] : await fitFeatureMaps([recorded.map.normalization], train);
  const map = fitted as FeatureMap;
  const { ipc } = config;
  const probes: ProbeResult[] = [];
  let edits: EditedAccuracy | undefined;
  const full = references === undefined ? [] : await references.full(map);
  if (kind === "full") {
    probes.push(...(references === undefined ? await new References(place, protocol).full(map) : full));
  } else {
    const set = await trainingSet(artifact, bench, same ? recorded : undefined);
    for (const with_ of augmented) {
      probes.push(...(await evaluateSet(set, protocol, with_, { map, lambda: config.lambda })));
    }
    if (bench.edits) {
      edits = await measureEdits(set.edited, set.softLabels, {
        ...{
          map,
          lambda: config.lambda,
          test: protocol.test,
          gemm: protocol.gemm,
          mirror: config.mirror ?? true,
        },
        onEdit: protocol.onSeed,
      });
    }
  }
  const random =
    references === undefined || kind === "full"
      ? []
      : await references.random(ipc, map, config.lambda, augmented);
  return {
    artifact: artifact.folder,
    kind,
    method: kind === "distilled" ? (manifest.preset?.name ?? config.method) : kind,
    data: place.source.name,
    encoder: label,
    distilledWith: encoderLabel(manifest.encoder.id, manifest.encoder.preprocessing.crop),
    images: kind === "full" ? train.count : artifact.labels.length,
    ipc,
    seconds: manifest.seconds,
    peakMemoryBytes: manifest.peakMemoryBytes,
    count: protocol.test.count,
    probes,
    full,
    random,
    draws: bench.draws,
    epochs: protocol.epochs,
    ...(edits ? { edits } : {}),
    ...(references === undefined || references.fullEpochs === protocol.epochs
      ? {}
      : { fullEpochs: references.fullEpochs }),
  };
}

/** "name@128": of a file its name alone, with its folder's where files are commonly called `model`. */
function encoderLabel(id: string, [height, width]: readonly [number, number]): string {
  const parts = id.replace(/\.onnx$/i, "").split(/[\\/]/);
  const name = parts.slice(/^(vision_)?model/.test(parts.at(-1)!) ? -2 : -1).join("/");
  return `${name}@${height === width ? height : `${height}x${width}`}`;
}

/** A label that no other encoder of the evaluation has: where the short one is taken, with the folder, or the tensor. */
function newLabel({ provenance, preprocessing, feature }: Encoder, taken: readonly string[]): string {
  const short = encoderLabel(provenance.id, preprocessing.crop);
  const side = short.slice(short.lastIndexOf("@"));
  const long = `${provenance.id}${side}`;
  const candidates = [short, long, `${long}#${feature.tensor}`, `${long}#${feature.tensor}, ${feature.pool}`];
  return candidates.find((label) => !taken.includes(label)) ?? `${long} (${taken.length + 1})`;
}

/** A set whose images can be edited before the encoder takes them: features m × d. */
interface EditableSet extends TrainingSet {
  readonly softLabels: Matrix;
  edited(edit: Edit): Promise<Float32Array>;
}

/** The artifact's images as the encoder takes them, and their features, plain and augmented. */
async function trainingSet(
  artifact: Artifact,
  { place, augmenter, draws }: Bench,
  recorded: ClosedFormProbe | undefined,
): Promise<EditableSet> {
  const { encoder } = place;
  const { labels, manifest } = artifact;
  const { crop, interpolation } = encoder.preprocessing;
  const exact = await artifact.images();
  const asTaken = (pixels: Float32Array) => resampleFloat(pixels, manifest.imageSize, crop, interpolation);
  const images = asTaken(exact);
  const plain = plainFeatures(await encoder.features(images, labels.length), labels);
  const softLabels: Matrix = matrix(
    labels.length,
    manifest.classes.length,
    Float64Array.from(await artifact.softLabels()),
  );
  // The draws of a seed serve every probe.
  const drawn = new Map<number, TrainingFeatures>();
  return {
    softLabels,
    ...(recorded ? { recorded } : {}),
    // Edits come first, as they would to whoever has the set; then what the encoder asks for.
    async edited(edit) {
      return encoder.features(asTaken(await edit.apply(exact, manifest.imageSize, 0)), labels.length);
    },
    async training(seed, augmented) {
      if (!augmented) return plain;
      const known = drawn.get(seed) ?? augmenter!.training(images, labels, seed, draws);
      drawn.set(seed, known);
      return known;
    },
  };
}
