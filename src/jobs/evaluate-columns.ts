import { encodersOf } from "../artifact/encoder-of.ts";
import type { Manifest } from "../artifact/manifest.ts";
import type { Artifact } from "../artifact/read-artifact.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { Pool } from "../encoder/encoder-model.ts";
import { givenForm, type ModelForm } from "../encoder/model-form.ts";
import { type EncoderSpec, parseEncoderSpec } from "../encoder/spec.ts";
import type { EvaluateParams } from "./params.ts";

/** An encoder under which artifacts are evaluated. */
export interface Column extends EncoderSpec, ModelForm {
  readonly pool?: Pool;
  /** The commit that the artifact was distilled with: a branch may have moved on. */
  readonly revision: string | undefined;
  readonly artifacts: Artifact[];
}

/** Each encoder asked for with all artifacts, or each that an artifact was distilled with, with those that were. */
export function columnsOf(artifacts: readonly Artifact[], params: EvaluateParams): Column[] {
  if (params.encoders !== undefined && params.encoders.length > 0) {
    return params.encoders.map((text) => {
      const spec = parseEncoderSpec(text);
      const recorded = recordedFor(artifacts, spec, params.size);
      const size = spec.size ?? params.size ?? sideOf(recorded);
      const feature = spec.feature ?? params.feature ?? recorded?.feature;
      const pool = params.pool ?? recorded?.askedPool;
      return {
        encoder: spec.encoder,
        ...(size === undefined ? {} : { size }),
        ...(feature === undefined ? {} : { feature }),
        ...(pool === undefined ? {} : { pool }),
        ...givenForm({ ...recorded?.form, ...givenForm(params) }),
        revision: params.revision ?? recorded?.revision,
        artifacts: [...artifacts],
      };
    });
  }
  const columns = new Map<string, Column>();
  for (const artifact of artifacts) {
    for (const { encoder } of encodersOf(artifact.manifest)) {
      const { sha256, feature, pool, preprocessing, form } = encoder;
      const key = JSON.stringify([sha256, feature, pool, preprocessing, form]);
      const known = columns.get(key);
      if (known) {
        known.artifacts.push(artifact);
        continue;
      }
      const size = params.size ?? sideOf(encoder);
      columns.set(key, {
        encoder: encoder.id,
        ...(size === undefined ? {} : { size }),
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

/** Side of an encoder's images; undefined where they are not square, which is the encoder's own choice. */
function sideOf(encoder: Manifest["encoder"] | undefined): number | undefined {
  const [height, width] = encoder?.preprocessing.crop ?? [];
  return height === width ? height : undefined;
}

/** What a set recorded of an encoder that is asked for by name: at that size, where it has it at several. */
function recordedFor(
  artifacts: readonly Artifact[],
  { encoder, size: own }: EncoderSpec,
  size = own,
): Manifest["encoder"] | undefined {
  const named = artifacts
    .flatMap(({ manifest }) => encodersOf(manifest).map((made) => made.encoder))
    .filter(({ id }) => id === encoder);
  return named.find((made) => sideOf(made) === (own ?? size)) ?? named[0];
}

/**
 * Real images are resized as they were for the artifact that was made with the encoder, at the same size of image;
 * without one, as for all artifacts of that size, where these agree; else as the encoder has it.
 */
export function resizeOf(
  artifacts: readonly Artifact[],
  { encoder, size }: EncoderSpec,
  params: EvaluateParams,
): number | undefined {
  if (params.resize !== undefined) return params.resize === "own" ? undefined : params.resize;
  const alike = artifacts
    .flatMap(({ manifest }) => encodersOf(manifest).map((made) => made.encoder))
    .filter(({ preprocessing }) => preprocessing.crop[0] === size);
  const own = alike.filter(({ id }) => id === encoder);
  const [resize, ...others] = new Set((own.length > 0 ? own : alike).map((e) => e.preprocessing.resize));
  return typeof resize === "number" && others.length === 0 ? resize : undefined;
}

/** "name@128": of a file its name alone, with its folder's where files are commonly called `model`. */
export function encoderLabel(id: string, [height, width]: readonly [number, number]): string {
  const parts = id.replace(/\.onnx$/i, "").split(/[\\/]/);
  const name = parts.slice(/^(vision_)?model/.test(parts.at(-1)!) ? -2 : -1).join("/");
  return `${name}@${height === width ? height : `${height}x${width}`}`;
}

/** A label that no other encoder of the evaluation has: where the short one is taken, with the folder, or the tensor. */
export function newLabel({ provenance, preprocessing, feature }: Encoder, taken: readonly string[]): string {
  const short = encoderLabel(provenance.id, preprocessing.crop);
  const side = short.slice(short.lastIndexOf("@"));
  const long = `${provenance.id}${side}`;
  const candidates = [short, long, `${long}#${feature.tensor}`, `${long}#${feature.tensor}, ${feature.pool}`];
  return candidates.find((label) => !taken.includes(label)) ?? `${long} (${taken.length + 1})`;
}
