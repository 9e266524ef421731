import type { Artifact } from "../artifact/read-artifact.ts";
import type { SetEncoderOptions } from "../artifact/set-encoder-options.ts";
import type { CallOptions } from "../context.ts";
import { userHub } from "../files/hub/settings.ts";
import type { ImageLike } from "../images/input.ts";
import type { Classification } from "../jobs/classify.ts";
import { run } from "../jobs/worker/client.ts";
import { plain } from "./load-encoder.ts";

export interface ClassifyOptions extends SetEncoderOptions, CallOptions {
  /** Classes named beside the best one of each image. Default: 2. */
  readonly runnersUp?: number;
}

/**
 * Classifies images with a set's recorded probe and the encoder that it was made with, as `clp-dd classify` does. Images
 * are paths, bytes of image files, or pixels; those that cannot be read come back with the reason.
 * @param set a folder that `distill` or `baseline` wrote, or one that was read
 * @throws UsageError without images; ModelError when the encoder is not there or is another one than the set's
 */
export async function classify(
  set: Artifact | string,
  images: readonly ImageLike[],
  options: ClassifyOptions = {},
): Promise<Classification[]> {
  const { signal, onProgress, onNote, hub = userHub(), ...params } = options;
  const { images: found } = await run(
    "classify",
    { ...params, hub, set: typeof set === "string" ? set : set.folder, images: images.map(plain) },
    {
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onProgress } : {}),
      ...(onNote ? { onNote } : {}),
    },
  );
  return [...found];
}
