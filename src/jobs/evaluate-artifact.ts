import { encoderDifference } from "../artifact/encoder-difference.ts";
import type { Artifact } from "../artifact/read-artifact.ts";
import { encodersOf, recordedName } from "../artifact/recorded-encoders.ts";
import type { JobContext } from "../context.ts";
import { UsageError } from "../errors.ts";
import { defaultDraws, type FeatureAugmenter } from "../evaluate/augmented-features.ts";
import { References } from "../evaluate/encoder-references.ts";
import type { Evaluation } from "../evaluate/evaluation.ts";
import type { EvaluationCrew } from "../evaluate/evaluation-crew.ts";
import { type EditedAccuracy, measureEdits } from "../evaluate/measure-edits.ts";
import {
  evaluateSet,
  evaluationSeeds,
  type ProbeResult,
  type Protocol,
  probeNames,
  type TrainingSet,
} from "../evaluate/protocol.ts";
import { plainFeatures, type TrainingFeatures } from "../evaluate/training-features.ts";
import type { RunContext } from "../features/run-context.ts";
import type { Edit } from "../images/edits.ts";
import { resampleFloat } from "../images/resample-float.ts";
import { type ClosedFormProbe, evaluateClosedForm } from "../probe/closed-form.ts";
import type { FeatureMap } from "../probe/feature-map.ts";
import { fitFeatureMaps } from "../probe/fit-feature-maps.ts";
import { type Matrix, matrix } from "../probe/matrix.ts";
import { encoderLabel } from "./evaluate-columns.ts";
import type { EvaluateParams } from "./params.ts";

/** All that the artifacts of a column are evaluated with. */
export interface EvaluationSetting {
  readonly place: RunContext;
  readonly crew: EvaluationCrew;
  readonly protocol: Protocol;
  readonly augmenter: FeatureAugmenter | undefined;
  readonly augmented: readonly boolean[];
  readonly draws: number | "each epoch";
  readonly references: References | undefined;
  readonly edits: boolean;
}

/** @param validation what learning rates are chosen on */
export function settingOf(
  place: RunContext,
  crew: EvaluationCrew,
  augmenter: FeatureAugmenter | undefined,
  validation: Protocol["validation"],
  params: EvaluateParams,
  context: JobContext,
): EvaluationSetting {
  const seeds = params.seeds ?? evaluationSeeds;
  const probes = params.probes ?? probeNames;
  if (seeds.length === 0 || probes.length === 0)
    throw new UsageError("An evaluation needs a seed and a probe.");
  let done = 0;
  const protocol: Protocol = {
    classes: place.source.classes.length,
    test: place.test!,
    validation,
    gemm: crew.gemm,
    trainElsewhere: crew.trainElsewhere,
    probes,
    seeds,
    epochs: params.epochs ?? 1000,
    signal: context.signal,
    onSeed: (detail) =>
      context.progress({ stage: "Evaluating", done: ++done, total: 0, unit: "probes", detail }),
  };
  const augmented = { off: [false], both: [false, true] }[params.augmentation ?? "both"];
  const draws = params.draws ?? defaultDraws;
  return {
    place,
    crew,
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

export async function evaluateArtifact(
  artifact: Artifact,
  label: string,
  setting: EvaluationSetting,
): Promise<Evaluation> {
  const { place, protocol, references, augmented } = setting;
  const { manifest } = artifact;
  const { encoder, train } = place;
  const { config, kind } = manifest;
  const made = encodersOf(manifest);
  // One of its encoders on images prepared in the same way: the recorded probe holds.
  const same = made.find(
    (own) =>
      encoderDifference(encoder, own.encoder) === undefined && encoder.precision === own.encoder.precision,
  );
  const recorded = same && (await artifact.probe(recordedName(same.encoder)));
  const [fitted] = recorded ? [recorded.map] : await fitFeatureMaps([manifest.probe.normalization], train);
  const map = fitted as FeatureMap;
  const calibrationError =
    recorded?.calibration &&
    (await evaluateClosedForm(recorded, protocol.test, protocol.gemm, recorded.calibration)).calibrationError;
  const { ipc } = config;
  const probes: ProbeResult[] = [];
  const random: ProbeResult[] = [];
  let edits: EditedAccuracy | undefined;
  const full = references === undefined ? [] : await references.full(map);
  if (kind === "full") {
    probes.push(...(references === undefined ? await new References(place, protocol).full(map) : full));
  } else {
    const set = await trainingSet(artifact, setting, recorded);
    const { crew } = setting;
    // All of it at once: the crew does one part after the other in each of its processes.
    const [own, edited, blind] = await Promise.all([
      Promise.all(
        augmented.map((with_) => evaluateSet(set, protocol, with_, { map, lambda: config.lambda })),
      ),
      setting.edits
        ? measureEdits(set.edited, set.softLabels, {
            map,
            lambda: config.lambda,
            test: protocol.test,
            gemm: protocol.gemm,
            mirror: config.mirror ?? true,
            atOnce: crew.processes + 1,
            onEdit: protocol.onSeed,
          })
        : undefined,
      references?.random(ipc, map, config.lambda, augmented) ?? [],
    ]);
    probes.push(...own.flat());
    random.push(...blind);
    edits = edited;
  }
  return {
    artifact: artifact.folder,
    kind,
    method: kind === "distilled" ? (manifest.preset?.name ?? config.method) : kind,
    data: place.source.name,
    encoder: label,
    distilledWith: made
      .map((own) => encoderLabel(own.encoder.id, own.encoder.preprocessing.crop))
      .join(" + "),
    images: kind === "full" ? train.count : artifact.labels.length,
    ipc,
    seconds: manifest.seconds,
    peakMemoryBytes: manifest.peakMemoryBytes,
    count: protocol.test.count,
    probes,
    full,
    random,
    ...(calibrationError === undefined ? {} : { calibrationError }),
    draws: setting.draws,
    epochs: protocol.epochs,
    ...(edits ? { edits } : {}),
    ...(references === undefined || references.fullEpochs === protocol.epochs
      ? {}
      : { fullEpochs: references.fullEpochs }),
  };
}

/** A set whose images can be edited before the encoder takes them: features m × d. */
interface EditableSet extends TrainingSet {
  readonly softLabels: Matrix;
  edited(edit: Edit): Promise<Float32Array>;
}

/** The artifact's images as the encoder takes them, and their features, plain and augmented. */
async function trainingSet(
  artifact: Artifact,
  { place, crew, augmenter, draws }: EvaluationSetting,
  recorded: ClosedFormProbe | undefined,
): Promise<EditableSet> {
  const { encoder } = place;
  const { labels, manifest } = artifact;
  const { crop, interpolation } = encoder.preprocessing;
  const exact = await artifact.images();
  const plain = plainFeatures(await crew.features(exact, manifest.imageSize), labels);
  // As the encoder takes them, for whatever draws of them.
  const images = augmenter && resampleFloat(exact, manifest.imageSize, crop, interpolation);
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
    edited: ({ name }) => crew.features(exact, manifest.imageSize, name),
    async training(seed, augmented) {
      if (!augmented) return plain;
      const known = drawn.get(seed) ?? augmenter!.training(images!, labels, seed, draws);
      drawn.set(seed, known);
      return known;
    },
  };
}
