import type { Artifact } from "../artifact/read-artifact.ts";
import type { SetEncoderOptions } from "../artifact/set-encoder-options.ts";
import type { CallOptions } from "../context.ts";
import { userHub } from "../files/hub/settings.ts";
import type { ImageLike } from "../images/input.ts";
import type { UnreadableImage } from "../jobs/classify.ts";
import type { Explanation } from "../jobs/explain.ts";
import { run } from "../jobs/worker/client.ts";
import { plain } from "./load-encoder.ts";

export interface ExplainOptions extends SetEncoderOptions, CallOptions {
  /** The class to explain. Default: the likeliest of each image. */
  readonly class?: string;
  /** The encoder's tensor that Grad-CAM looks at. Default: its last map of the image, or its last tokens. */
  readonly tensor?: string;
}

/**
 * Shows what in images speaks for their class, as `clp-dd explain` does: Grad-CAM, gradient × input, and PNGs with both laid over
 * the part of the image that the encoder sees. Images that cannot be read come back with the reason.
 * @param set a folder that `distill` or `baseline` wrote, or one that was read
 * @throws UsageError without images, and for a class or tensor that is not there; ModelError when the encoder is not there, is
 *   another one than the set's, or has no gradient
 */
export async function explain(
  set: Artifact | string,
  images: readonly ImageLike[],
  options: ExplainOptions = {},
): Promise<(Explanation | UnreadableImage)[]> {
  const { signal, onProgress, onNote, hub = userHub(), ...params } = options;
  const { images: found } = await run(
    "explain",
    { ...params, hub, set: typeof set === "string" ? set : set.folder, images: images.map(plain) },
    {
      ...(signal ? { signal } : {}),
      ...(onProgress ? { onProgress } : {}),
      ...(onNote ? { onNote } : {}),
    },
  );
  return [...found];
}
