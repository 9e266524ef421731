import { Tensor } from "onnxruntime-common";
import { NumericalError } from "../errors.ts";
import type { Session } from "../onnx-vjp/graph/runtime.ts";

/** Name of the graph input that takes images in [0, 1], and of the output [batch, d]. */
export const imagesInput = "images";
export const featuresOutput = "clp-dd/features";

/** A byte in [0, 1]: looking it up takes half the time of dividing, on the thread that all others wait for. */
const unit = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** What is known of a session that computes features. */
export interface FeatureShape {
  /** Images in one call. */
  readonly batch: number;
  /** Height and width of an image. */
  readonly crop: readonly [number, number];
  /** d. */
  readonly featureSize: number;
  /** What errors call the encoder. */
  readonly id: string;
}

/**
 * Features of `count` images, call by call; the last call's empty places are filled with what was there before.
 * @param images n × 3 × H × W; floats in [0, 1] or bytes in [0, 255]
 * @param nameOf what an error calls image i of these
 * @throws NumericalError when a feature is not finite
 */
export async function batchedFeatures(
  session: Session,
  { batch, crop, featureSize, id }: FeatureShape,
  images: Float32Array | Uint8Array,
  count: number,
  nameOf?: (i: number) => string,
): Promise<Float32Array> {
  const [height, width] = crop;
  const pixels = 3 * height * width;
  const out = new Float32Array(count * featureSize);
  const chunk = new Float32Array(batch * pixels);
  for (let start = 0; start < count; start += batch) {
    const n = Math.min(batch, count - start);
    const part = images.subarray(start * pixels, (start + n) * pixels);
    if (part instanceof Float32Array) chunk.set(part);
    else for (let i = 0; i < part.length; i++) chunk[i] = unit[part[i]!]!;
    const feeds = { [imagesInput]: new Tensor("float32", chunk, [batch, 3, height, width]) };
    const results = await session.run(feeds, { only: [featuresOutput] });
    const rows = results[featuresOutput]!.data as Float32Array;
    out.set(rows.subarray(0, n * featureSize), start * featureSize);
  }
  requireFinite(out, featureSize, id, nameOf);
  return out;
}

/** Throws a NumericalError naming the first image whose feature is not finite. */
export function requireFinite(
  features: Float32Array,
  featureSize: number,
  encoder: string,
  nameOf = (i: number) => `image ${i} of the batch`,
): void {
  for (let i = 0; i < features.length; i++) {
    if (Number.isFinite(features[i])) continue;
    throw new NumericalError(
      `The encoder ${encoder} gave a feature that is not finite (${features[i]}) for ` +
        `${nameOf(Math.floor(i / featureSize))}. Check the model's preprocessing (mean, std) and that its weights ` +
        "are whole.",
    );
  }
}
