import type { JobContext } from "../context.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import { parseEncoderSpec, scaledResize } from "../encoder/spec.ts";
import { DataError, InterruptedError, UsageError } from "../errors.ts";
import { type Alignment, alignmentOf, nearestImages, sampledRows } from "../evaluate/alignment.ts";
import { extractFeatures } from "../features/extract.ts";
import { nodeRuntime } from "../onnx-vjp/runtime/node.ts";
import { chooseGemm, jsGemm } from "../probe/gemm.ts";
import { ortGemm } from "../probe/ort-gemm.ts";
import type { AlignParams } from "./params.ts";

/** The alignment of two of the encoders. */
export interface AlignedPair extends Alignment {
  /** As they were given, the earlier one first. */
  readonly encoders: readonly [string, string];
}

/** What `encoders align` gives back. */
export interface EncoderAlignment {
  readonly data: string;
  /** Training images that took part. */
  readonly images: number;
  readonly neighbors: number;
  /** Every pair, the most alike first. */
  readonly pairs: readonly AlignedPair[];
}

/**
 * How alike encoders see the training images of a data set: mutual nearest-neighbor alignment of every pair, from cached
 * features of a sample of the images.
 * @throws UsageError for fewer than two encoders, or too many neighbors; DataError where their features are of different images
 */
export async function alignEncoders(params: AlignParams, context: JobContext): Promise<EncoderAlignment> {
  const { encoders, neighbors = 10, images = 2000 } = params;
  if (new Set(encoders).size < Math.max(2, encoders.length)) {
    throw new UsageError(
      `Alignment is of two or more different encoders, got ${encoders.join(", ") || "none"}.`,
    );
  }
  const source = await openDataSet(params.data, hubReach(params.hub, context));
  const runtime = nodeRuntime(params.threads ? { threads: params.threads } : {});
  const large = ortGemm(runtime);
  const gemm = chooseGemm(jsGemm, large);
  const nearest: Int32Array[] = [];
  let count: number | undefined;
  let rows: Int32Array = new Int32Array(0);
  try {
    for (const text of encoders) {
      const { size = params.size, ...spec } = parseEncoderSpec(text);
      const resize = scaledResize(params.resize, params.size, size);
      const { encoder } = await openEncoder({ ...params, ...spec, size, resize }, context);
      context.note(
        `${text}: ${encoder.featureSize} features at ${encoder.preprocessing.crop.join(" × ")} px.`,
      );
      const cache = await extractFeatures(source, "train", encoder, params, context).finally(() =>
        encoder.release(),
      );
      try {
        if (count === undefined) {
          rows = sampledRows(cache.count, images);
          requireNeighbors(neighbors, rows.length);
        } else if (cache.count !== count) {
          throw new DataError(
            `${text} has features of ${cache.count} training images, ${encoders[0]} of ${count}: some could not be read. ` +
              "Remove the unreadable images, or delete the cached features and try again.",
          );
        }
        count = cache.count;
        nearest.push(await nearestImages(cache, rows, neighbors, gemm));
      } finally {
        cache.close();
      }
      if (context.signal.aborted) throw new InterruptedError("Stopped; the features are kept.");
    }
  } finally {
    await large.release();
  }
  const pairs = encoders.flatMap((a, i) =>
    encoders.slice(i + 1).map((b, k) => ({
      encoders: [a, b] as const,
      ...alignmentOf(nearest[i], nearest[i + 1 + k], neighbors),
    })),
  );
  pairs.sort((a, b) => b.alignment - a.alignment);
  return { data: source.name, images: rows.length, neighbors, pairs };
}

function requireNeighbors(neighbors: number, images: number): void {
  if (neighbors < images) return;
  throw new UsageError(
    `An image cannot have ${neighbors} neighbors among ${images} images. Give fewer \`neighbors\`, or more images.`,
  );
}
