import { kindNames, type Manifest, type ResultRow, type Stage } from "../artifact/manifest.ts";
import type { ImageSource } from "../data/image-source.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { EditedAccuracy } from "../evaluate/measure-edits.ts";
import type { RealReferences } from "../evaluate/real-references.ts";
import type { Calibration } from "../probe/calibration.ts";
import { needsStatistics } from "../probe/feature-map.ts";
import type { Metrics } from "../probe/metrics.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { type PresetName, presets } from "../recipe/presets.ts";
import { version } from "../version.ts";

/** What is known of a run when it has ended, beside its images. */
export interface RunFacts {
  /** How the images came about, and what the row of results about them is called. */
  readonly kind: Manifest["kind"];
  readonly config: DistillConfig;
  readonly preset?: string | undefined;
  readonly command?: string | undefined;
  readonly from?: Manifest["from"];
  readonly machine: Manifest["machine"];
  /** λ and τ of the recorded probe. */
  readonly lambda: number;
  readonly tau: number;
  readonly calibration: Calibration;
  readonly stages: readonly Stage[];
  readonly own?: Metrics | undefined;
  readonly comparison?: RealReferences | undefined;
  readonly edits?: EditedAccuracy | undefined;
  /** The images under further encoders. */
  readonly others?: readonly OtherFacts[];
  /** Seconds spent making the images. */
  readonly seconds: number;
  readonly fingerprints: Readonly<Record<string, string>>;
}

/** What is known of a run's images under a further encoder. */
export interface OtherFacts {
  readonly place: Pick<DescribedRun, "encoder">;
  readonly calibration: Calibration;
  readonly evaluation?: Pick<RunFacts, "own" | "comparison" | "edits">;
}

/** What a run was of. */
export interface DescribedRun {
  readonly source: Pick<ImageSource, "name" | "classes" | "notes" | "licenses">;
  readonly encoder: Pick<
    Encoder,
    "provenance" | "feature" | "featureSize" | "precision" | "preprocessing" | "form"
  >;
  readonly train: { readonly count: number };
  readonly test: { readonly count: number } | undefined;
}

/** The manifest of a run. */
export function manifestOf(place: DescribedRun, facts: RunFacts): Omit<Manifest, "folders" | "files"> {
  const { source, encoder, train, test } = place;
  const { config, stages, preset, others = [] } = facts;
  const recipe = preset === undefined ? undefined : presets[preset as PresetName];
  return {
    schemaVersion: 1,
    tool: { name: "clp-dd", version },
    kind: facts.kind,
    config,
    ...(preset !== undefined && recipe
      ? {
          preset: {
            name: preset,
            source: recipe.source,
            ...("unknown" in recipe ? { unknown: recipe.unknown } : {}),
          },
        }
      : {}),
    ...(facts.command ? { command: facts.command } : {}),
    ...(facts.from ? { from: facts.from } : {}),
    classes: [...source.classes],
    imageSize: encoder.preprocessing.crop[0],
    encoder: encoderRecord(encoder),
    data: {
      name: source.name,
      counts: { train: train.count, ...(test ? { test: test.count } : {}) },
      fingerprints: { ...facts.fingerprints },
      notes: [...source.notes],
      licenses: [...(source.licenses ?? [])],
    },
    probe: probeRecord(facts, facts.calibration),
    metrics: metricsRecord(facts, source.classes.length, train.count, facts),
    ...(others.length > 0
      ? {
          others: others.map((other, k) => ({
            encoder: encoderRecord(other.place.encoder),
            probe: probeRecord(facts, other.calibration),
            metrics: metricsRecord(facts, source.classes.length, train.count, other.evaluation ?? {}),
            file: `probe-${k + 1}.safetensors`,
          })),
        }
      : {}),
    stages: [...stages],
    seconds: facts.seconds,
    peakMemoryBytes: Math.max(...stages.map((stage) => stage.peakMemoryBytes)),
    machine: facts.machine,
  };
}

function encoderRecord(encoder: DescribedRun["encoder"]): Manifest["encoder"] {
  const { provenance, feature, featureSize, precision, preprocessing, form } = encoder;
  return {
    ...provenance,
    feature: feature.tensor,
    pool: feature.pool,
    askedPool: feature.askedPool,
    featureSize,
    precision,
    preprocessing,
    ...(Object.keys(form).length > 0 ? { form } : {}),
  };
}

function probeRecord({ config, lambda, tau }: RunFacts, calibration: Calibration): Manifest["probe"] {
  const [normalization] = config.normalize;
  const { temperature, unknownAbove, unknownBelow, falseAlarms, images } = calibration;
  return {
    ...{ normalization, lambda, tau, usesStatistics: needsStatistics(normalization) },
    calibration: { temperature, unknownAbove, unknownBelow, falseAlarms, images },
  };
}

function metricsRecord(
  { kind, config }: RunFacts,
  classes: number,
  trainCount: number,
  { own, comparison, edits }: Pick<RunFacts, "own" | "comparison" | "edits">,
): Manifest["metrics"] {
  return {
    ...(own
      ? {
          closedForm: {
            top1: own.top1,
            perClass: perClassOf(own),
            ...(own.calibrationError === undefined ? {} : { calibrationError: own.calibrationError }),
          },
        }
      : {}),
    ...(comparison
      ? {
          fullData: bestOfFull(comparison),
          centroid: { top1: comparison.centroid.top1 },
          random: { ...comparison.random, seeds: [...comparison.random.seeds] },
        }
      : {}),
    ...(edits ? { edits: { ...edits, each: [...edits.each] } } : {}),
    rows: own ? resultRows(kind, config, classes, trainCount, own, comparison) : [],
  };
}

const perClassOf = ({ perClass }: Metrics) => perClass.map((a) => (Number.isNaN(a) ? null : a));

/** What a share of the full data's accuracy is of: the better of its two probes. */
function bestOfFull({ fullData, logistic }: RealReferences) {
  const { metrics, lambda } = fullData;
  return logistic !== undefined && logistic.top1 > metrics.top1
    ? { top1: logistic.top1, lambda, probe: "logistic" as const, perClass: perClassOf(logistic) }
    : { top1: metrics.top1, lambda, probe: "closed form" as const, perClass: perClassOf(metrics) };
}

function resultRows(
  kind: Manifest["kind"],
  config: DistillConfig,
  classes: number,
  trainCount: number,
  own: Metrics,
  comparison: RealReferences | undefined,
): ResultRow[] {
  const images = classes * config.ipc;
  const closedForm = "closed form";
  const row = (name: string, count: number, metrics: Metrics): ResultRow => ({
    name,
    protocol: closedForm,
    images: count,
    top1: metrics.top1,
    ...(metrics.top5 === undefined ? {} : { top5: metrics.top5 }),
    ...(metrics.worstGroup === undefined ? {} : { worstGroup: metrics.worstGroup }),
  });
  const itself = row(
    kind === "random" ? `${kindNames.random}, seed ${config.seed}` : kindNames[kind],
    kind === "full" ? trainCount : images,
    own,
  );
  if (comparison === undefined) return [itself];
  return [
    ...(kind === "full" ? [] : [row(kindNames.full, trainCount, comparison.fullData.metrics)]),
    ...(comparison.logistic && kind !== "full"
      ? [{ ...row(kindNames.full, trainCount, comparison.logistic), protocol: "logistic" }]
      : []),
    itself,
    ...(kind === "centroid" ? [] : [row(kindNames.centroid, images, comparison.centroid)]),
    {
      name: kindNames.random,
      protocol: closedForm,
      images,
      top1: comparison.random.mean,
      std: comparison.random.std,
    },
  ];
}
