import * as z from "zod";
import { listed } from "../data/image-source.ts";
import { pools } from "../encoder/encoder-model.ts";
import { grays, layouts } from "../encoder/model-form.ts";
import { DataError } from "../errors.ts";
import { Preprocessing } from "../images/preprocess.ts";
import { precisions } from "../onnx-vjp/graph/device.ts";
import { baselineKinds } from "../recipe/baseline-kinds.ts";
import { DistillConfig, normalizationName } from "../recipe/config.ts";

const fraction = z.number().min(0).max(1);
const MeanStd = z.object({ mean: fraction, std: z.number().min(0), seeds: z.array(z.int()) });

/** One row of the results table: a probe's accuracy on the real test images, as a fraction. */
export const ResultRow = z.object({
  name: z.string(),
  /** The probe: "closed form" and so on. */
  protocol: z.string(),
  images: z.int().positive(),
  top1: fraction,
  std: z.number().min(0).optional(),
  top5: fraction.optional(),
  worstGroup: fraction.optional(),
});
export type ResultRow = z.infer<typeof ResultRow>;

export const Stage = z.object({
  name: z.string(),
  seconds: z.number().min(0),
  peakMemoryBytes: z.number().min(0),
});
export type Stage = z.infer<typeof Stage>;

/** A step of the run, a line of `metrics.jsonl`; the accuracy is a fraction of the step's batch of real images. */
export const CurvePoint = z.object({ step: z.int(), loss: z.number(), batchAccuracy: z.number().optional() });
export type CurvePoint = z.infer<typeof CurvePoint>;

/** A file's name inside of the artifact: relative, with "/" alone, without "..", a drive letter or control characters. */
const InnerPath = z
  .string()
  .regex(
    /^(?!\/)(?![A-Za-z]:)(?!.*(^|\/)\.\.?(\/|$))[^\\\p{Cc}]+$/u,
    "expected a path inside of the artifact",
  );
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "expected a sha256 in hexadecimal");

/** Reads what earlier versions called by another name. */
function renamed<Shape extends z.ZodType>(former: string, now: string, shape: Shape) {
  return z.preprocess((value) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, former)) return value;
    const { [former]: found, ...rest } = value as Record<string, unknown>;
    return { [now]: found, ...rest };
  }, shape);
}

/** An encoder that images were made for. */
const EncoderRecord = renamed(
  "licence",
  "license",
  z.object({
    id: z.string(),
    sha256: z.string(),
    license: z.string().optional(),
    source: z.string().optional(),
    revision: z.string().optional(),
    feature: z.string(),
    pool: z.string(),
    /** What `pool` was: an encoder that is to give the same features is loaded with it. */
    askedPool: z.enum(pools).default("auto"),
    featureSize: z.int().positive(),
    /** What its products were computed in. */
    precision: z.enum(precisions).default("float32"),
    preprocessing: Preprocessing,
    /** Axes and gray that were said of the model's file (encoder/model-form.ts), where something was. */
    form: z
      .strictObject({
        inputLayout: z.enum(layouts).optional(),
        featureLayout: z.enum(layouts).optional(),
        gray: z.enum(grays).optional(),
      })
      .optional(),
  }),
);

/** The closed-form probe of the images under an encoder. */
const ProbeRecord = z.object({
  normalization: normalizationName,
  lambda: z.number().positive(),
  tau: z.number().positive(),
  /** Whether mean and standard deviation of the real features are part of the artifact. */
  usesStatistics: z.boolean(),
  /** What makes probabilities of scores, fitted on training images; absent in sets of earlier versions. */
  calibration: z
    .object({
      temperature: z.number().positive(),
      unknownAbove: z.number().optional(),
      unknownBelow: z.number(),
      falseAlarms: fraction,
      images: z.int().positive(),
    })
    .optional(),
});

/** How well the probe does, beside what it is compared with. */
const MetricsRecord = z.object({
  closedForm: z
    .object({
      top1: fraction,
      perClass: z.array(z.number().nullable()),
      /** Expected calibration error of the probabilities on the test images (15 bins). */
      calibrationError: fraction.optional(),
    })
    .optional(),
  /** The better of ridge and logistic regression on the full data; λ is the ridge's. */
  fullData: z
    .object({
      top1: fraction,
      lambda: z.number(),
      probe: z.enum(["closed form", "logistic"]).default("closed form"),
      perClass: z.array(z.number().nullable()).optional(),
    })
    .optional(),
  centroid: z.object({ top1: fraction }).optional(),
  random: MeanStd.optional(),
  /** The closed form on the images after each edit of a fixed list (images/edits.ts). */
  edits: z
    .object({
      each: z.array(z.object({ name: z.string(), top1: fraction })).min(1),
      mean: fraction,
      worst: fraction,
    })
    .optional(),
  rows: z.array(ResultRow),
});

/** A further encoder that the images were made for, which sees them resized to its own size. */
const OtherRecord = z.object({
  encoder: EncoderRecord,
  probe: ProbeRecord,
  metrics: MetricsRecord,
  /** The file of its probe. */
  file: InnerPath,
});
export type OtherRecord = z.infer<typeof OtherRecord>;

/** `manifest.json`: what an artifact is, how it was made and how well it does. */
export const Manifest = z.object({
  schemaVersion: z.literal(1),
  tool: z.object({ name: z.literal("clp-dd"), version: z.string() }),
  /** How the images came about: a distillation, or real images chosen as a baseline. */
  kind: z.enum(["distilled", ...baselineKinds]),
  config: DistillConfig,
  /** The recipe that was asked for by name, and where it comes from. */
  preset: z.object({ name: z.string(), source: z.string(), unknown: z.string().optional() }).optional(),
  command: z.string().optional(),
  /** The earlier set whose images the run started from, where it did. */
  from: z
    .object({
      /** Of its distilled.safetensors. */
      sha256,
      /** Classes whose images were taken over, that are new, and that are gone. */
      kept: z.array(z.string()),
      added: z.array(z.string()),
      removed: z.array(z.string()),
      /** How the earlier run ended, and after how many steps this one was as good; no steps where it never was. */
      former: z
        .object({
          by: z.enum(["batch accuracy", "loss"]),
          value: z.number(),
          steps: z.int().positive().optional(),
        })
        .optional(),
    })
    .optional(),
  classes: z.array(z.string()),
  /** Folder of each class under images/, in the order of the classes. */
  folders: z.array(InnerPath),
  imageSize: z.int().positive(),
  /** The first encoder, whose size the images have. */
  encoder: EncoderRecord,
  data: renamed(
    "licences",
    "licenses",
    z.object({
      name: z.string(),
      counts: z.record(z.string(), z.int()),
      fingerprints: z.record(z.string(), z.string()),
      notes: z.array(z.string()),
      licenses: z.array(
        z.object({ name: z.string(), author: z.string(), spdx: z.string(), url: z.string() }),
      ),
    }),
  ),
  probe: ProbeRecord,
  metrics: MetricsRecord,
  /** Further encoders that the images were made for; absent where there is one. */
  others: z.array(OtherRecord).optional(),
  stages: z.array(Stage),
  seconds: z.number().min(0),
  /** 0 where it is not known, as in browsers. */
  peakMemoryBytes: z.number().min(0),
  machine: z.object({
    cpu: z.string(),
    cores: z.int(),
    /** Its version; absent for a run in a browser. */
    node: z.string().optional(),
    /** The browser that the run was in, by its own name. */
    browser: z.string().optional(),
    onnxruntime: z.string().optional(),
    threads: z.int(),
  }),
  /** Every file but this one, with its hash. */
  files: z.record(InnerPath, sha256),
});
export type Manifest = z.infer<typeof Manifest>;

/** What the images of each kind are called in tables. */
export const kindNames: Readonly<Record<Manifest["kind"], string>> = {
  distilled: "distilled",
  random: "random images",
  centroid: "centroid images",
  neighbors: "nearest neighbors",
  kmeans: "k-means coreset",
  herding: "herding coreset",
  full: "full data",
};

/** How many images an artifact holds; that of the full data is a probe alone. */
export function imageCount({ kind, classes, config }: Pick<Manifest, "kind" | "classes" | "config">): number {
  return kind === "full" ? 0 : classes.length * config.ipc;
}

/**
 * Throws DataError for a manifest that gives no hash of a file which its artifact cannot be read without.
 * @param where what errors call the manifest
 */
export function requireHashes(manifest: Manifest, where: string): void {
  const [images, hashes] = [imageCount(manifest), Object.keys(manifest.files).length];
  // Before they are counted out: a number of images costs nothing to write.
  if (images > hashes) {
    throw new DataError(
      `${where} gives no hash of most of its ${images} images (it lists ${hashes} files), so that they could not be checked. ` +
        "Copy the artifact again, or make it again.",
    );
  }
  const perClass = images / manifest.classes.length;
  const probes = (manifest.others ?? []).map(({ file }) => file);
  const needed = ["distilled.safetensors", "probe.safetensors", ...probes];
  for (const folder of manifest.folders) {
    for (let i = 0; i < perClass; i++) needed.push(`images/${folder}/${i}.png`);
  }
  const missing = needed.filter((name) => !Object.hasOwn(manifest.files, name));
  if (missing.length === 0) return;
  throw new DataError(
    `${where} gives no hash of ${listed(missing)}, so that it could not be checked. Copy the artifact again, or make it again.`,
  );
}

/** The sha256 of a text in hexadecimal: browsers have another function for it. */
export type HashOfText = (text: string) => string | Promise<string>;

/** `manifest.json`'s text: the manifest and, under `sha256`, the hash of all the rest of it as JSON without spaces. */
export async function sealManifest(manifest: Manifest, hashOf: HashOfText): Promise<string> {
  const sealed = { ...manifest, sha256: await hashOf(JSON.stringify(manifest)) };
  return `${JSON.stringify(sealed, null, 2)}\n`;
}

/**
 * Reads a manifest's text and compares it with the hash in it. Those of earlier versions have none; they may say
 * nothing that is not known, so that a hash whose name was damaged is not taken for a missing one.
 * @throws DataError for another version or a damaged one, naming what is wrong
 */
export async function parseManifest(text: string, where: string, hashOf: HashOfText): Promise<Manifest> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DataError(`${where} is not JSON: the artifact is damaged. Make it again or copy it again.`);
  }
  const version = (value as { schemaVersion?: unknown } | null)?.schemaVersion;
  if (version !== 1) {
    throw new DataError(
      `${where} has schema version ${String(version)}; this version of clp-dd reads 1. ` +
        "Use the version of clp-dd that wrote it.",
    );
  }
  const { sha256: recorded, ...content } = value as Record<string, unknown>;
  if (recorded !== undefined && recorded !== (await hashOf(JSON.stringify(content)))) {
    throw new DataError(
      `${where} was changed or damaged since it was written (its hash differs). Copy the artifact again, or make it again.`,
    );
  }
  const parsed = (recorded === undefined ? Manifest.strict() : Manifest).safeParse(content);
  if (!parsed.success) throw new DataError(`${where} is damaged: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
