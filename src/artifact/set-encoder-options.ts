import type { EncoderParams } from "../encoder/encoder-params.ts";

/** How the encoder of a set runs; size, feature and preprocessing are the set's. */
export interface SetEncoderOptions
  extends Pick<EncoderParams, "dtype" | "hub" | "device" | "precision" | "threads" | "memoryBytes"> {
  /**
   * Which of the set's encoders is meant, as "name" or "name@size" (default: the first); or where the first is now, where
   * that is not the name or path recorded in the set.
   */
  readonly encoder?: string | undefined;
}
