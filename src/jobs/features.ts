import { existsSync } from "node:fs";
import type { JobContext } from "../context.ts";
import type { Split } from "../data/image-source.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import { ClpError } from "../errors.ts";
import { type FeatureCacheSpec, featureCachePath } from "../features/cache-format.ts";
import { mergeFeatureCaches } from "../features/cache-merge.ts";
import type { FeatureCache } from "../features/cache-reader.ts";
import { extractFeatures, featureSpec, openExtracted } from "../features/extract.ts";
import type { FeaturesParams } from "./params.ts";

/** A cache that the job made or found. */
export interface FeaturesResult {
  readonly split: Split;
  /** Rows. */
  readonly count: number;
  readonly featureSize: number;
  readonly path: string;
}

/**
 * Extracts the features of every split, or a part of them, into the cache and says where they are. The process that
 * completes the parts merges them; `merge` does only that, and throws DataError naming the parts that are missing.
 */
export async function runFeatures(params: FeaturesParams, context: JobContext): Promise<FeaturesResult[]> {
  const source = await openDataSet(params.data, hubReach(params.hub, context));
  for (const note of source.notes) context.note(note);
  const { encoder } = await openEncoder(params, context);
  const { part, merge, storage, cacheFolder, maxBad } = params;
  // They are counted here, not read.
  const opening = { maxBad, memoryBytes: 0 };
  const results: FeaturesResult[] = [];
  try {
    for (const split of source.splits) {
      const whole = await featureSpec(source, split, encoder, storage ? { storage } : {});
      const path = featureCachePath(cacheFolder, whole);
      if (merge !== undefined) {
        if (!existsSync(path)) await mergeFeatureCaches(cacheFolder, whole, merge);
        results.push(summary(split, await openExtracted(path, whole, opening, context)));
        continue;
      }
      if (part !== undefined && existsSync(path)) {
        context.note(`The features of ${split} are complete already: nothing to do for part ${part.index}.`);
        results.push(summary(split, await openExtracted(path, whole, opening, context)));
        continue;
      }
      const options = { ...opening, cacheFolder, ...(part ? { part } : {}), ...(storage ? { storage } : {}) };
      results.push(summary(split, await extractFeatures(source, split, encoder, options, context)));
      if (part !== undefined) await mergeIfLast(cacheFolder, whole, part.count, split, context);
    }
  } finally {
    await encoder.release();
  }
  return results;
}

/** Merges when every part is there; this part is done and safe whatever comes of it. */
async function mergeIfLast(
  root: string,
  spec: FeatureCacheSpec,
  count: number,
  split: Split,
  context: JobContext,
): Promise<void> {
  try {
    const path = await mergeFeatureCaches(root, spec, count);
    context.note(`All ${count} parts of ${split} are there: merged into ${path}. The parts may be deleted.`);
  } catch (error) {
    if (!(error instanceof ClpError)) throw error;
    context.note(`Not merged yet: ${error.message}`);
  }
}

function summary(split: Split, cache: FeatureCache): FeaturesResult {
  cache.close();
  return { split, count: cache.count, featureSize: cache.featureSize, path: cache.path };
}
