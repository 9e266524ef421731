import { requireSetEncoder, setEncoderParams } from "../artifact/encoder-of.ts";
import type { OtherRecord } from "../artifact/manifest.ts";
import type { Artifact } from "../artifact/read-artifact.ts";
import { recordedName } from "../artifact/recorded-encoders.ts";
import type { SetEncoderOptions } from "../artifact/set-encoder-options.ts";
import type { JobContext } from "../context.ts";
import type { Encoder } from "../encoder/encoder.ts";
import { openEncoder } from "../encoder/open-encoder.ts";
import type { Precision } from "../onnx-vjp/graph/device.ts";
import type { Runtime } from "../onnx-vjp/graph/runtime.ts";
import type { Probe } from "../probe/probe.ts";

/** A set's probe with the encoder that it is for. */
export interface OpenSet {
  /** What the set records of the encoder. */
  readonly made: OtherRecord;
  readonly probe: Probe;
  /** The caller's to release. */
  readonly encoder: Encoder;
  readonly runtime: Runtime;
}

/**
 * Opens the first encoder of a set, or the one that the options name, with that one's recorded probe.
 * @param precision that the encoder runs in, whatever the options say
 * @throws DataError for a set without a probe; ModelError when the encoder is another one, or is named by
 *   a path in the set alone
 */
export async function openSet(
  artifact: Artifact,
  options: SetEncoderOptions,
  context: JobContext,
  precision?: Precision,
): Promise<OpenSet> {
  const { manifest, folder } = artifact;
  const { made, params } = setEncoderParams(manifest, folder, options);
  const probe = await artifact.probe(recordedName(made.encoder));
  const { encoder, runtime } = await openEncoder(precision ? { ...params, precision } : params, context);
  try {
    requireSetEncoder(encoder, made, folder, params.encoder);
  } catch (error) {
    await encoder.release();
    throw error;
  }
  return { made, probe, encoder, runtime };
}
