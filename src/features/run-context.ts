import type { JobContext } from "../context.ts";
import type { DataParams } from "../data/data-params.ts";
import type { ImageSource, Split } from "../data/image-source.ts";
import { hubReach, openDataSet } from "../data/open-data-set.ts";
import type { Encoder } from "../encoder/encoder.ts";
import type { EncoderParams } from "../encoder/encoder-params.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import { type Kept, keptFor } from "../files/kept.ts";
import { keptIn } from "../files/kept-on-disk.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import { chooseGemm, type Gemm, jsGemm } from "../probe/gemm.ts";
import { ortGemm } from "../probe/ort-gemm.ts";
import type { FeatureRows } from "../probe/rows.ts";
import type { FeatureCache } from "./cache-reader.ts";
import { extractFeatures, requireEveryClass } from "./extract.ts";

/** An encoder and a data set with its cached features: what every job on real data starts from. */
export interface RunContext {
  readonly runtime: Runtime;
  readonly encoder: Encoder;
  readonly source: ImageSource;
  readonly train: FeatureRows;
  /** Absent where the data set has no test split. */
  readonly test: (FeatureRows & { readonly groups?: Int32Array }) | undefined;
  readonly gemm: Gemm;
  /** What was computed from these features earlier. */
  readonly kept: Kept;
  release(): Promise<void>;
}

/** What a job asks of its run context. */
interface RunContextOptions {
  /** Readable training images that each class must have (default: 1). */
  readonly leastPerClass?: number;
  /** Whether the encoder's pullback will be needed: what has none is refused before the long work. */
  readonly differentiates?: boolean;
  /** The data set, where it is open already. */
  readonly source?: ImageSource;
  /** Hears of encoder and data set before the features are read: what needs no features can be made ready meanwhile. */
  readonly opened?: (parts: Pick<RunContext, "runtime" | "encoder" | "source">) => void;
}

/** Opens encoder and data set, and sees to their features. */
export async function openRunContext(
  params: EncoderParams & DataParams,
  context: JobContext,
  { leastPerClass = 1, differentiates = false, source: given, opened }: RunContextOptions = {},
): Promise<RunContext> {
  // The data set first: a mistyped folder should not cost the loading of a model.
  const source = given ?? (await openDataSet(params.data, hubReach(params.hub, context)));
  for (const note of source.notes) context.note(note);
  // Before the long work: what is not there cannot be read either.
  requireEveryClass(source.images("train").labels, source.classes, leastPerClass);
  const kept = keptIn(params.cacheFolder);
  const { runtime, encoder } = await openEncoder(params, context, kept);
  const large = ortGemm(runtime);
  const caches: FeatureCache[] = [];
  const release = async () => {
    for (const cache of caches) cache.close();
    await large.release();
    await encoder.release();
  };
  const featuresOf = async (split: Split) => {
    const cache = await extractFeatures(source, split, encoder, params, context);
    caches.push(cache);
    return cache;
  };
  try {
    if (differentiates) encoder.requirePullback();
    const { tensor, pool, reason } = encoder.feature;
    context.note(
      `${params.encoder}: ${encoder.featureSize} features from "${tensor}" (${reason}; pooling: ${pool}) ` +
        `at ${encoder.preprocessing.crop.join(" × ")} px.`,
    );
    opened?.({ runtime, encoder, source });
    const train = await featuresOf("train");
    requireEveryClass(train.labels, source.classes, leastPerClass);
    const test = source.splits.includes("test") ? await featuresOf("test") : undefined;
    const features = caches.map(({ header }) => header);
    return {
      ...{ runtime, encoder, source, train, test, gemm: chooseGemm(jsGemm, large) },
      kept: keptFor(kept, { features }),
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}
