import {
  type Encoder,
  featuresInMemory,
  fitFeatureMaps,
  type Gemm,
  mirrorNote,
  mirrorTest,
  pixelInput,
  type RealFeatures,
} from "../../src/browser/index.ts";
import { pixelsOf } from "./decode.ts";

/**
 * Finds out from the images whether mirrored ones keep their class, as the command line does; undefined where no probe can be
 * solved.
 * @param thumbnails what the encoder sees of each training image
 */
export async function foundMirror(
  encoder: Encoder,
  gemm: Gemm,
  train: RealFeatures,
  thumbnails: readonly Blob[],
  classes: number,
): Promise<{ readonly mirror: boolean; readonly note: string } | undefined> {
  const rows = featuresInMemory(train.features, train.labels);
  const [map] = await fitFeatureMaps(["center-l2"], rows);
  const tested = await mirrorTest({
    train: rows,
    classes,
    map: map!,
    gemm,
    async mirroredFeatures(indices) {
      const out = new Float32Array(indices.length * encoder.featureSize);
      for (const [i, row] of indices.entries()) {
        const input = pixelInput([await pixelsOf(thumbnails[row]!)], encoder.preprocessing);
        const width = encoder.preprocessing.crop[1];
        for (let at = 0; at < input.length; at += width) input.subarray(at, at + width).reverse();
        out.set(await encoder.features(input, 1), i * encoder.featureSize);
      }
      return out;
    },
  });
  return tested && { mirror: tested.keeps, note: mirrorNote(tested) };
}
