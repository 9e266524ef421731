import { existsSync } from "node:fs";
import type { JobContext } from "../context.ts";
import { type BadImage, tooManyBad } from "../data/decode-pool.ts";
import { type ImageSource, listed, type Split } from "../data/image-source.ts";
import { type Encoder, featureName } from "../encoder/encoder.ts";
import { DataError, InterruptedError } from "../errors.ts";
import { formatMany } from "../format.ts";
import { type FeatureCacheSpec, featureCachePath } from "./cache-format.ts";
import { type FeatureCache, openFeatureCache } from "./cache-reader.ts";
import { FeatureCacheWriter } from "./cache-writer.ts";
import { encodedBatches } from "./encoded-batches.ts";

export interface ExtractOptions {
  readonly cacheFolder: string;
  /** Unreadable images that are skipped, named and counted before giving up. */
  readonly maxBad: number;
  /** Contiguous part of the images, for extraction on several machines. */
  readonly part?: { readonly index: number; readonly count: number };
  readonly storage?: "float32" | "float16";
  /** Bytes of features that may be held in memory when reading (default: 1 GiB). */
  readonly memoryBytes?: number;
}

const batchSize = 32;

/** What identifies the features of a split under an encoder, and so their place in the cache. */
export async function featureSpec(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  options: Pick<ExtractOptions, "part" | "storage">,
): Promise<FeatureCacheSpec> {
  const { provenance, preprocessing, featureSize } = encoder;
  return {
    identity: {
      encoder: { id: provenance.id, sha256: provenance.sha256 },
      feature: featureName(encoder),
      preprocessing,
      fast: false,
      data: { name: source.name, fingerprint: await source.fingerprint(split) },
      split,
    },
    storage: options.storage ?? "float32",
    featureSize,
    classes: [...source.classes],
    groups: source.groups ? [...source.groups] : null,
    images: source.images(split).length,
    ...(options.part ? { part: options.part } : {}),
  };
}

/**
 * Features of a split's images, from the cache where they are there, extracted into it elsewhere. An interrupted extraction resumes where it stopped.
 */
export async function extractFeatures(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  options: ExtractOptions,
  context: JobContext,
): Promise<FeatureCache> {
  const wanted = await featureSpec(source, split, encoder, options);
  const spec = options.storage === undefined ? asCached(options.cacheFolder, wanted) : wanted;
  const path = featureCachePath(options.cacheFolder, spec);
  if (!existsSync(path)) await writeCache(source, split, encoder, spec, options, context);
  return openExtracted(path, spec, options, context);
}

/**
 * Opens features that were extracted now or earlier, and notes the images that were passed over.
 * @throws DataError when those are more than `maxBad`; the errors of `openFeatureCache`
 */
export async function openExtracted(
  path: string,
  spec: FeatureCacheSpec,
  { maxBad, memoryBytes = 2 ** 30 }: Pick<ExtractOptions, "maxBad" | "memoryBytes">,
  context: JobContext,
): Promise<FeatureCache> {
  const { data, split } = spec.identity;
  const cache = await openFeatureCache(path, {
    expected: spec,
    memoryBytes,
    signal: context.signal,
    onChecked: (done, total) =>
      context.progress({ stage: `Checking features of ${split}`, done, total, unit: "bytes" }),
  });
  const bad = cache.header.complete?.bad ?? [];
  if (bad.length > maxBad) {
    cache.close();
    throw tooManyBad(data.name, bad, maxBad);
  }
  noteBad(bad, split, context);
  if (cache.count === 0 && bad.length > 0 && spec.part === undefined) {
    cache.close();
    throw new DataError(
      `None of the ${formatMany(bad.length, "image")} of ${split} of ${data.name} could be read. Replace them, or give ` +
        "another data set.",
    );
  }
  return cache;
}

/** Whoever does not say how numbers are to be stored takes them as an earlier extraction stored them. */
function asCached(cacheFolder: string, spec: FeatureCacheSpec): FeatureCacheSpec {
  const half: FeatureCacheSpec = { ...spec, storage: "float16" };
  const there = (candidate: FeatureCacheSpec) => existsSync(featureCachePath(cacheFolder, candidate));
  return !there(spec) && there(half) ? half : spec;
}

async function writeCache(
  source: ImageSource,
  split: Split,
  encoder: Encoder,
  spec: FeatureCacheSpec,
  options: ExtractOptions,
  context: JobContext,
): Promise<void> {
  const writer = await FeatureCacheWriter.open(options.cacheFolder, spec, context.note);
  if (writer.note !== undefined) context.note(writer.note);
  const stage = `Features of ${split}`;
  const first = writer.nextIndex;
  const indices = Int32Array.from({ length: writer.end - first }, (_, i) => first + i);
  const images = source.images(split);
  let done = 0;
  try {
    context.progress({ stage, done: 0, total: indices.length, unit: "images" });
    for await (const batch of encodedBatches(source, split, encoder, {
      indices,
      batchSize,
      maxBad: options.maxBad,
      skipped: writer.bad,
    })) {
      if (context.signal.aborted) {
        throw new InterruptedError(
          `Stopped after ${done} of ${indices.length} images; the next run resumes there.`,
        );
      }
      await writer.append({
        features: batch.features,
        indices: batch.indices,
        labels: batch.labels,
        ...(images.groups ? { groups: Int32Array.from(batch.indices, (i) => images.groups![i]!) } : {}),
        bad: batch.bad,
      });
      done += batch.labels.length + batch.bad.length;
      context.progress({ stage, done, total: indices.length, unit: "images" });
    }
    await writer.finish();
  } catch (error) {
    await writer.close();
    throw error;
  }
}

function noteBad(bad: readonly BadImage[], split: Split, context: JobContext): void {
  if (bad.length === 0) return;
  const named = listed(
    bad.map((image) => `${image.id} (${image.reason})`),
    3,
  );
  context.note(`Skipped ${bad.length} unreadable image${bad.length === 1 ? "" : "s"} of ${split}: ${named}.`);
}

/** Throws DataError naming the classes that have no feature: their images were all unreadable, or there are none. */
export function requireEveryClass(labels: Int32Array, classes: readonly string[], least: number): void {
  const counts = new Int32Array(classes.length);
  for (const label of labels) counts[label]++;
  const short = classes.flatMap((name, c) => (counts[c] < least ? [`${name} (${counts[c]})`] : []));
  if (short.length === 0) return;
  throw new DataError(
    `${listed(short)} ${short.length === 1 ? "has" : "have"} fewer than ${least} readable training image` +
      `${least === 1 ? "" : "s"}. Add images, or lower \`ipc\`.`,
  );
}
