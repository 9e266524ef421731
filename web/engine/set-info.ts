import type { ArtifactInMemory, Encoder } from "../../src/browser/index.ts";
import { encoderDifference } from "../../src/browser/index.ts";
import type { SetInfo } from "./protocol.ts";

/** What the page shows of a set. */
export function setInfo(
  name: string,
  { manifest, images, labels }: ArtifactInMemory,
  encoder: Encoder,
): SetInfo {
  const { imageSize: side, classes, metrics, data } = manifest;
  const difference = encoderDifference(encoder, manifest.encoder);
  return {
    name: data.name || name,
    classes,
    size: side,
    labels: [...labels],
    images: Array.from(labels, (_, i) =>
      rgbaOf(images.subarray(i * 3 * side * side, (i + 1) * 3 * side * side)),
    ),
    top1: metrics.closedForm?.top1,
    heldOutImages: data.counts.test ?? 0,
    stopped: data.notes.find((note) => note.startsWith("Stopped")),
    refusal: difference && `${manifest.encoder.id}: ${difference}`,
  };
}

/** Planar floats in [0, 1] as a canvas takes them. */
export function rgbaOf(planar: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const pixels = planar.length / 3;
  const out = new Uint8ClampedArray(4 * pixels);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < 3; c++) out[4 * p + c] = 255 * planar[c * pixels + p]!;
    out[4 * p + 3] = 255;
  }
  return out;
}
