import { UsageError } from "../errors.ts";

/** An encoder as one word: its name or path, with the side of its images and its feature tensor where given. */
export interface EncoderSpec {
  readonly encoder: string;
  readonly size?: number;
  readonly feature?: string;
}

/** `resize`, which is for images of `from` px, in the same proportion for images of `size` px; undefined where one is not given. */
export function scaledResize(
  resize: number | undefined,
  from: number | undefined,
  size: number | undefined,
): number | undefined {
  if (resize === undefined || from === undefined || size === undefined) return undefined;
  return Math.round((resize * size) / from);
}

/**
 * Reads `NAME`, `NAME@SIZE`, `NAME#TENSOR` or `NAME@SIZE#TENSOR`, as in `model.onnx@128`. Throws UsageError for
 * an empty name or a size below 8.
 */
export function parseEncoderSpec(text: string): EncoderSpec {
  const match = /^(.*?)(?:@(\d+))?(?:#([^#]+))?$/.exec(text.trim())!;
  const [, encoder, size, feature] = match;
  if (!encoder)
    throw new UsageError(`"${text}" names no encoder. Expected a name or a path, such as model.onnx@224.`);
  if (size !== undefined && Number(size) < 8) {
    throw new UsageError(`"${text}" asks for images of ${size} px. Expected at least 8.`);
  }
  return {
    encoder,
    ...(size === undefined ? {} : { size: Number(size) }),
    ...(feature === undefined ? {} : { feature }),
  };
}
