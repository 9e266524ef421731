import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { encoderDifference } from "../artifact/encoder-of.ts";
import { CurvePoint, imageCount, type Manifest } from "../artifact/manifest.ts";
import { type Artifact, readArtifact } from "../artifact/read-artifact.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { UsageError } from "../errors.ts";
import type { DistillConfig } from "../recipe/config.ts";
import { noiseParameters, parametersFromImages, type SyntheticParameters } from "../synthetic/parameters.ts";

/** An earlier set that a run starts from. */
export interface EarlierSet {
  readonly artifact: Artifact;
  /** SHA-256 of the file with its images. */
  readonly sha256: string;
  /** Classes of both, of the run alone, and of the earlier set alone. */
  readonly kept: readonly string[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/**
 * Opens the set in `folder` to start a run of `classes` from.
 * @throws UsageError, saying what to do, for a set whose images do not fit the run; DataError for a folder that holds none
 */
export async function openEarlierSet(
  folder: string,
  classes: readonly string[],
  config: DistillConfig,
  encoder: Encoder,
): Promise<EarlierSet> {
  const artifact = await readArtifact(folder);
  const { manifest } = artifact;
  const [size] = encoder.preprocessing.crop;
  const refuse = (what: string, cure: string): never => {
    throw new UsageError(`A run cannot start from ${folder}: ${what}. ${cure}, or leave \`from\` out.`);
  };
  if (imageCount(manifest) === 0) refuse("it has no images, only a probe", "Give a set of images");
  if (manifest.imageSize !== size) {
    refuse(
      `its images have ${manifest.imageSize} px, those of this run ${size} px`,
      `Give \`size: ${manifest.imageSize}\``,
    );
  }
  const difference = encoderDifference(encoder, manifest.encoder);
  if (difference !== undefined) {
    refuse(
      `it was made with another encoder, ${manifest.encoder.id}: ${difference}`,
      "Give the encoder that it was made with",
    );
  }
  if (manifest.config.ipc !== config.ipc) {
    refuse(
      `it has ${manifest.config.ipc} images per class, this run ${config.ipc}`,
      `Give \`ipc: ${manifest.config.ipc}\``,
    );
  }
  const before = new Set(manifest.classes);
  const kept = classes.filter((name) => before.has(name));
  if (kept.length === 0) refuse("it has no class of this data set", "Give a set of some of the same classes");
  return {
    artifact,
    sha256: manifest.files["distilled.safetensors"],
    kept,
    added: classes.filter((name) => !before.has(name)),
    removed: manifest.classes.filter((name) => !classes.includes(name)),
  };
}

/** Parameters of a run's images: those of kept classes as the earlier set has them, the others noise. */
export async function parametersFromEarlier(
  { artifact }: EarlierSet,
  classes: readonly string[],
  { ipc, parametrization, seed }: DistillConfig,
): Promise<SyntheticParameters> {
  const { manifest } = artifact;
  const size = manifest.imageSize;
  const length = ipc * 3 * size * size;
  const m = classes.length * ipc;
  const images = Float32Array.from(noiseParameters("pixels", m, size, seed).levels[0].values);
  const old = await artifact.images();
  for (const [c, name] of classes.entries()) {
    const from = manifest.classes.indexOf(name);
    if (from >= 0) images.set(old.subarray(from * length, (from + 1) * length), c * length);
  }
  return parametersFromImages(parametrization, images, m, size);
}

/** Steps over which a curve is averaged: a step's batch alone says little. */
const averaged = 10;

/** What is compared of two curves: the accuracy on batches of real images where both have it, else the loss. */
export interface FormerLevel {
  readonly by: "batch accuracy" | "loss";
  /** Mean over the last steps of the earlier run. */
  readonly value: number;
  /** Steps of this run until the mean over as many steps was as good; absent where it never was. */
  readonly steps?: number;
}

/** After how many steps a run is as good as an earlier one ended; undefined for a set that was not distilled. */
export function stepsToFormer(
  former: readonly CurvePoint[],
  curve: readonly CurvePoint[],
): FormerLevel | undefined {
  const last = former.slice(-averaged);
  if (last.length === 0 || curve.length === 0) return undefined;
  const has = (points: readonly CurvePoint[]) => points.every((p) => p.batchAccuracy !== undefined);
  const by = has(last) && has(curve) ? "batch accuracy" : "loss";
  // The higher the better.
  const goodness = (points: readonly CurvePoint[]): number =>
    points.reduce((sum, p) => sum + (by === "loss" ? -p.loss : p.batchAccuracy!), 0) / points.length;
  const wanted = goodness(last);
  const window = Math.min(averaged, last.length);
  const value = by === "loss" ? -wanted : wanted;
  for (let end = window; end <= curve.length; end++) {
    if (goodness(curve.slice(end - window, end)) >= wanted) return { by, value, steps: curve[end - 1].step };
  }
  return { by, value };
}

/** The steps of the run that made a set. */
export async function curveOf({ folder }: Pick<Artifact, "folder">): Promise<CurvePoint[]> {
  const text = await readFile(join(folder, "metrics.jsonl"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => CurvePoint.parse(JSON.parse(line)));
}

/** What the manifest records of the start. */
export async function startRecord(
  { artifact, sha256, kept, added, removed }: EarlierSet,
  curve: readonly CurvePoint[],
): Promise<NonNullable<Manifest["from"]>> {
  const former = stepsToFormer(await curveOf(artifact), curve);
  return {
    sha256,
    kept: [...kept],
    added: [...added],
    removed: [...removed],
    ...(former ? { former } : {}),
  };
}
